"""What importing the light parts costs: none of the stack; and that all tests can be imported at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from prepo_rlhf.backends.environment import of_cpu_jobs

HEAVY = ("ray", "vllm", "deepspeed", "openrlhf")


@pytest.mark.parametrize(
    "module", ["prepo_rlhf", "prepo_rlhf.algorithm", "prepo_rlhf.selection.registry", "prepo_rlhf.cli.train_prepo_ray"]
)
def test_imports_none_of_the_stack(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# What OpenRLHF, transformers and vLLM would import and a job never uses, by what a process of it imports.
NEVER_USED = ("openai", "openai_harmony", "scipy.signal", "wandb")
BY_ENGINES = (*NEVER_USED, "torch._inductor.compile_fx", "scipy.optimize", "deepspeed", "peft", "datasets")
STACK = ("torch", "vllm", "openrlhf", "deepspeed", "transformers")
UNUSED = {
    "prepo_rlhf.trainer.job, prepo_rlhf.cluster.engine_process": STACK,  # before engines are asked for
    "prepo_rlhf.ray.placement": ("deepspeed", "peft", "datasets"),  # before their models are
    "prepo_rlhf.ray.placement, prepo_rlhf.trainer.trainer": (*NEVER_USED, "scipy.stats"),
    "prepo_rlhf.ray.policy_actor": NEVER_USED,
    "prepo_rlhf.ray.rollout_engine": BY_ENGINES,
    "prepo_rlhf.ray.core_process": BY_ENGINES,
}


def assert_prints(code: str, end: str) -> None:
    """What the code prints last, in a process of its own like those of a job on a CPU."""
    environment = os.environ | of_cpu_jobs() | {"PREPO_RLHF_BACKEND": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.endswith(end), done.stdout + done.stderr


@pytest.mark.parametrize("modules", UNUSED)
def test_a_process_of_a_job_imports_nothing_that_it_never_uses(modules: str) -> None:
    """Each start and each restart pays for every import, in four processes."""
    code = (
        f"import gc, sys, {modules}\nfound = [name for name in {UNUSED[modules]} if name in sys.modules]\n"
        "print(found, gc.isenabled())"
    )
    assert_prints(code, "[] True\n")


def test_what_is_left_out_is_there_for_who_asks() -> None:
    code = (
        "import prepo_rlhf.ray.core_process\n"
        "from transformers.loss.loss_for_object_detection import linear_sum_assignment\n"
        "from vllm.multimodal.audio import scipy_signal\nimport numpy as np, scipy.signal, torch._inductor.compile_fx\n"
        "from vllm.entrypoints.mcp.tool_server import ToolServer\n"
        "print(linear_sum_assignment(np.eye(2), maximize=True)[1], len(scipy_signal.resample_poly(np.ones(8), 1, 2)))"
    )
    assert_prints(code, "[0 1] 4\n")


def test_the_driver_hands_over_tensors_without_pickling_them() -> None:
    """Ray reads its setting when it is imported, so that whatever imports it first decides."""
    code = (
        "import prepo_rlhf.trainer.job\nfrom ray._private import ray_constants\n"
        "print(ray_constants.RAY_ENABLE_ZERO_COPY_TORCH_TENSORS)"
    )
    environment = {name: value for name, value in os.environ.items() if "ZERO_COPY" not in name}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout == "True\n"


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest imports them by it, so the tier with both would not begin."""
    files = Counter(path.name for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert [name for name, times in files.items() if times > 1] == []
