"""OpenRLHF with a float32 policy, for processors that can only emulate bfloat16.

Written for openrlhf 0.11.2, which knows the data types bf16 and fp16 by name. Everything behind the name takes
float32 as it is: transformers loads it, and DeepSpeed trains it with neither of its half-precision optimizers.
"""

from __future__ import annotations

import torch

from prepo_rlhf.backends import internals


def patch_openrlhf() -> None:
    """Let OpenRLHF's `convert_to_torch_dtype` know fp32; later calls do nothing."""
    from openrlhf.utils import utils

    if utils.convert_to_torch_dtype.__module__ != __name__:
        original = internals.require("openrlhf.utils.utils:convert_to_torch_dtype")

        def convert_to_torch_dtype(param_dtype: str) -> torch.dtype:
            return torch.float32 if param_dtype == "fp32" else original(param_dtype)

        utils.convert_to_torch_dtype = convert_to_torch_dtype
