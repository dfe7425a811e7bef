"""The parent side of the workers stays light: what touches models is imported in the child alone."""

import subprocess
import sys


def test_the_parent_loads_neither_torch_nor_onnx_nor_numpy():
    heavy = "{'torch', 'onnx', 'onnxruntime', 'numpy', 'scipy'}"
    script = (
        f"import sys, workers.tasks, workers.standalone, workers.embedded; print(sorted({heavy} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


def test_the_child_s_side_reaches_no_service_and_no_queue():
    script = "import sys, workers.sandbox.child, workers.sandbox.explanation; print(sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    modules = set(eval(found.stdout))
    assert not modules & {"service", "celery", "sqlalchemy", "redis"}
