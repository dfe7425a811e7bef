# The API: no torch, no model is ever opened here. `docker compose build api`
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY eigengate eigengate
COPY service service
COPY workers workers
RUN python -m venv /opt/eigengate \
 && /opt/eigengate/bin/pip install --no-cache-dir -c constraints.txt '.[service,cli]' \
 && ! /opt/eigengate/bin/python -c 'import torch' 2>/dev/null

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin eigengate \
 && install -d -o eigengate -g eigengate /data
COPY --from=build /opt/eigengate /opt/eigengate
ENV PATH=/opt/eigengate/bin:$PATH PYTHONUNBUFFERED=1 EIGENGATE_DATA_DIR=/data EIGENGATE_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
CMD ["python", "-m", "service"]
