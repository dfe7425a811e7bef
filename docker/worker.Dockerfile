# A worker: torch in the child process only. TORCH_INDEX chooses the build: .../whl/cpu or .../whl/cu130
FROM python:3.13-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY eigengate eigengate
COPY service service
COPY workers workers
RUN python -m venv /opt/eigengate \
 && /opt/eigengate/bin/pip install --no-cache-dir -c constraints.txt --index-url "$TORCH_INDEX" torch \
 && /opt/eigengate/bin/pip install --no-cache-dir -c constraints.txt '.[workers,cli]'

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin eigengate \
 && install -d -o eigengate -g eigengate /data
COPY --from=build /opt/eigengate /opt/eigengate
ENV PATH=/opt/eigengate/bin:$PATH PYTHONUNBUFFERED=1 EIGENGATE_DATA_DIR=/data ORT_DISABLE_TELEMETRY=1
USER 10001:10001
CMD ["eigengate", "worker"]
