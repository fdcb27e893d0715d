"""What importing the light parts costs: none of the stack."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = ("ray", "vllm", "deepspeed", "openrlhf")


@pytest.mark.parametrize(
    "module", ["prepo_rlhf", "prepo_rlhf.algorithm", "prepo_rlhf.selection.registry", "prepo_rlhf.cli.train_prepo_ray"]
)
def test_imports_none_of_the_stack(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_the_driver_hands_over_tensors_without_pickling_them() -> None:
    """Ray reads its setting when it is imported, so that whatever imports it first decides."""
    code = (
        "import prepo_rlhf.trainer.job\nfrom ray._private import ray_constants\n"
        "print(ray_constants.RAY_ENABLE_ZERO_COPY_TORCH_TENSORS)"
    )
    environment = {name: value for name, value in os.environ.items() if "ZERO_COPY" not in name}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "True\n"
