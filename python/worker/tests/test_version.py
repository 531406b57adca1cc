import os
import subprocess
import sys
from pathlib import Path

import checkpoint_engine_worker


def test_importing_the_package_imports_neither_torch_nor_an_engine() -> None:
    """A bare environment must be able to import the package and report what is missing."""
    code = (
        "import sys, checkpoint_engine_worker as w;"
        "print(w.__version__, sorted({'torch', 'vllm', 'sglang', 'msgspec'} & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(checkpoint_engine_worker.__file__).parents[1])}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    assert out.strip() == f"{checkpoint_engine_worker.__version__} []"
