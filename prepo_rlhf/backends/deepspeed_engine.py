"""Corrections to how OpenRLHF uses DeepSpeed, where that is wrong, slow, or needs a compiler.

Written for openrlhf 0.11.2, deepspeed 0.19.6 and torch 2.13; called by `ray.strategy` and `ray.policy_actor`.
"""

from __future__ import annotations

from typing import Any

from prepo_rlhf.backends import internals


def leave_reductions_to_gloo() -> None:
    """Keep DeepSpeed from compiling its all-reduce through shared memory when a rank on a CPU starts.

    That takes a C++ compiler and time, and a rank that is killed meanwhile leaves a lock file, for which all later
    ranks wait for ever. DeepSpeed looks up in a table which operators can be built here.
    """
    internals.require("deepspeed.ops:__compatible_ops__")["deepspeed_shm_comm"] = False


def use_torch_adam(train_config: dict[str, Any]) -> None:
    """DeepSpeed's own AdamW would be compiled on first use, and needs a C++ compiler; torch's does the same."""
    internals.require("deepspeed:DeepSpeedEngine.get_optimizer_configuration")
    optimizer = train_config.get("optimizer")
    if optimizer and optimizer["type"] == "AdamW":
        optimizer["params"]["torch_adam"] = True


def gather_one_by_one(train_config: dict[str, Any]) -> None:
    """Of several shards gathered together ZeRO-3 waits for the last one alone. On a GPU the others came before it; with
    gloo they may still be on their way, and a weight is then what lay in memory before."""
    internals.require("deepspeed.runtime.zero.config:DeepSpeedZeroConfig")
    train_config["zero_optimization"]["stage3_allgather_sequential"] = True


def leave_buckets_unfilled() -> None:
    """Switch off PyTorch's filling of uninitialised memory, which full determinism switches on.

    DeepSpeed allocates a bucket of 500 million elements in every micro-batch, however few the model's gradients are;
    filling it is slow, and needless: DeepSpeed reads only what it wrote.
    """
    internals.require("torch.utils.deterministic:fill_uninitialized_memory")
    import torch

    # PyTorch makes it a property of the module, which types don't show.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyrefly: ignore[missing-attribute]


def check_gradients(engine: Any) -> None:
    """Have ZeRO-1 and 2 leave the weights alone where a gradient is not finite, as they do in 16 bits.

    In float32 DeepSpeed would apply it. ZeRO-3 checks gradients in fp16 only; in other types a bad update is applied,
    and noticed afterwards.
    """
    if hasattr(engine.optimizer, "check_grad_overflow"):
        engine.optimizer.check_grad_overflow = True


def keep_norm(engine: Any) -> None:
    """Have the norm of a float32 gradient known without ZeRO too: DeepSpeed clips by it there, and forgets it.

    It would be reported as 0, and one that is not finite go unnoticed until the weights are looked at.
    """
    clip_grad_norm = internals.require("deepspeed.runtime.utils:clip_grad_norm_")
    internals.require("deepspeed:DeepSpeedEngine.clip_fp32_gradients")

    def clip() -> None:
        limit = engine.gradient_clipping()
        engine.optimizer._global_grad_norm = clip_grad_norm(engine.module.parameters(), limit, mpu=engine.mpu)

    engine.clip_fp32_gradients = clip


def skipped_update(engine: Any) -> bool:
    """Whether the last optimizer step left the weights alone, as a gradient was not finite; in fp16, where DeepSpeed
    then lowers its loss scale, that is no fault."""
    return bool(getattr(engine.optimizer, "overflow", False)) and not engine.fp16_enabled()


def end_accumulation(engine: Any, is_last: bool) -> None:
    """Say whether the next micro-batch is an optimizer step's last, since steps differ in their micro-batches.

    OpenRLHF tells DeepSpeed of one micro-batch a step, so that DeepSpeed would take the last one's gradient for the
    whole step's.
    """
    engine.set_gradient_accumulation_boundary(is_last)
