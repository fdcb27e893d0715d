"""What differs between machines: the CPU in place of a GPU, attention and packing without flash-attn, float32.

Every patch of a dependency lives in this package, with its reason and the version it was written for, and so does the
list of all internals of dependencies that the code uses (`internals.yaml`).
`activate` runs once in every process of a job, before OpenRLHF is imported there; on a GPU with flash-attn its only
effect is that the policy may be float32, and packed in float32. vLLM's worker processes are no Ray workers: their
patches are applied in `ray.worker_extension`.
"""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from prepo_rlhf.backends.internals import TESTED
from prepo_rlhf.config import ConfigError, Machine

BACKEND_VARIABLE = "PREPO_RLHF_BACKEND"


def this_machine(backend: Literal["auto", "cpu", "cuda"]) -> Machine:
    """What options depend on here; auto is cuda where torch sees a GPU, else cpu."""
    from prepo_rlhf.backends import flash_attention

    if backend == "auto":
        import torch

        backend = "cuda" if torch.cuda.is_available() else "cpu"
    return Machine(backend, flash_attention.installed(), os.getcwd())


def current_backend() -> str:
    """The backend of this process: set for the whole job by its driver, else found out."""
    return os.environ.get(BACKEND_VARIABLE) or this_machine("auto").backend


def activate() -> None:
    """Make this process ready for OpenRLHF on the job's backend; later calls do nothing.

    Raises:
        ConfigError: OpenRLHF is not installed, which no extra of setup.py does.
        RuntimeError: another OpenRLHF than the one that the patches were written for is installed.
    """
    try:
        installed = version("openrlhf")
    except PackageNotFoundError as error:
        raise ConfigError(
            f"openrlhf is not installed: `pip install --no-deps openrlhf=={TESTED['openrlhf']}` adds it to the extras "
            "cpu and gpu, without the flash-attn that it requires and this code does without; all at once is installed "
            "by examples/scripts/setup_gpu.sh, on a CPU by examples/scripts/setup_cpu.sh"
        ) from error
    if installed != TESTED["openrlhf"]:
        raise RuntimeError(f"prepo_rlhf builds on openrlhf {TESTED['openrlhf']}, but {installed} is installed")
    from prepo_rlhf.backends import flash_attention, float32, lean_imports, packed_attention

    backend = current_backend()
    if backend == "cpu":
        from prepo_rlhf.backends import cpu

        cpu.patch_torch()
    lean_imports.import_transformers()
    flash_attention.import_openrlhf_without()
    float32.patch_openrlhf()
    packed_attention.register()
    if backend == "cpu":
        from prepo_rlhf.backends import cpu

        cpu.patch_openrlhf()
