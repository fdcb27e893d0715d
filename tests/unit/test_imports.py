"""What importing the light parts costs: none of the stack."""

from __future__ import annotations

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


def test_help_needs_none_of_the_stack() -> None:
    code = (
        "import sys\nfrom prepo_rlhf.cli.train_prepo_ray import main\nsys.argv = ['train', '--help']\n"
        f"try: main()\nexcept SystemExit: print('LOADED', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "--prepo.selector" in done.stdout and "LOADED []" in done.stdout
