"""The environment variables a child process sees: an allow-list, so that a new secret is hidden by default."""

from collections.abc import Mapping
from pathlib import Path

# What the dynamic linker and the CUDA driver need to find the device; none of it is a secret.
PASSED_ON = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "LD_LIBRARY_PATH", "TZ")


def clean_environment(parent: Mapping[str, str], *, job_dir: Path, threads: int) -> dict[str, str]:
    """The whole environment of a child: fixed values and the few variables of the parent that are listed here."""
    home = str(job_dir)
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": home,
        "TMPDIR": home,
        "XDG_CACHE_HOME": home,
        "OMP_NUM_THREADS": str(threads),
        # Threads that spin while they wait starve each other wherever the machine has other work.
        "OMP_WAIT_POLICY": "PASSIVE",
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        # onnxruntime's wheels report model names and hashes to their maker unless told not to.
        "ORT_DISABLE_TELEMETRY": "1",
        "CUDA_CACHE_DISABLE": "1",
        # Without a fixed workspace cuBLAS may sum in another order the next time.
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        **{name: parent[name] for name in PASSED_ON if name in parent},
    }
