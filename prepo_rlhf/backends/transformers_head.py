"""Replaces the forward of a transformers model's output head for the time of one forward pass.

Written for transformers 5.15, where models that scale or cap their logits take the numbers from the attributes here.
That these are all there are is checked by `ray.policy_model` against the model's own logits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from torch import Tensor


def scale_and_cap(model: Any) -> tuple[float, float | None]:
    """What the model multiplies its raw logits by (Cohere, Granite), and the soft limit it puts on them (Gemma)."""
    scale = getattr(model, "logit_scale", 1.0) / getattr(model.config, "logits_scaling", 1.0)
    return scale, getattr(model.config, "final_logit_softcapping", None)


@contextmanager
def replaced_head(model: Any, forward: Callable[[Tensor], Tensor]) -> Generator[None]:
    """Inside, the output head runs `forward`, and the model returns its result unscaled and uncapped.

    The head is still called as a module, so that DeepSpeed gathers its weight under ZeRO-3.
    """
    head, config = model.get_output_embeddings(), model.config
    neutral = ((config, "final_logit_softcapping", None), (config, "logits_scaling", 1.0), (model, "logit_scale", 1.0))
    changed = [(owner, name, getattr(owner, name), value) for owner, name, value in neutral if hasattr(owner, name)]
    for owner, name, _, value in changed:
        setattr(owner, name, value)
    head.forward = forward
    try:
        yield
    finally:
        del head.forward
        for owner, name, value, _ in changed:
            setattr(owner, name, value)
