"""OpenRLHF with a float32 policy, for processors that can only emulate bfloat16.

Written for openrlhf 0.11.2, which knows the data types bf16 and fp16 by name. Everything behind the name takes
float32 as it is: transformers loads it, and DeepSpeed trains it with neither of its half-precision optimizers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch


def patch_openrlhf() -> None:
    """Let OpenRLHF's `convert_to_torch_dtype` know fp32.

    Raises:
        RuntimeError: the function is no longer the one this was written for.
    """
    from openrlhf.utils import utils

    original = utils.convert_to_torch_dtype
    if original.__module__ == __name__:
        return
    source = inspect.getsource(original)
    if "Invalid param_dtype" not in source or "float32" in source:
        raise RuntimeError("openrlhf's convert_to_torch_dtype changed: review prepo_rlhf.backends.float32")
    utils.convert_to_torch_dtype = _with_float32(original)


def _with_float32(original: Callable[[str], torch.dtype]) -> Callable[[str], torch.dtype]:
    def convert_to_torch_dtype(param_dtype: str) -> torch.dtype:
        return torch.float32 if param_dtype == "fp32" else original(param_dtype)

    return convert_to_torch_dtype
