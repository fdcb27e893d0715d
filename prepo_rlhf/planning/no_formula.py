"""Models that training does not refuse, and for which the plan has no formulas.

Boundary: a config of transformers in, nothing out but a ConfigError.
"""

from __future__ import annotations

from typing import Any

from prepo_rlhf.config import ConfigError

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
INPUTS = ("vision_config", "audio_config")
SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")


def check_dense_text_model(name: str, described: Any) -> None:
    """Raise ConfigError for a mixture of experts, a model of images or sound, or a config without one of SIZES."""
    text = described.get_text_config()
    absent = [size for size in SIZES if not getattr(described, size, None)]
    if any(getattr(text, key, None) for key in EXPERTS):
        kind = "is a mixture of experts"
    elif any(hasattr(described, key) for key in INPUTS):
        kind = "also reads images or sound"
    elif absent:
        kind = f"has no {absent[0]} in its config.json"
    else:
        return
    raise ConfigError(
        f"--actor.model_name_or_path {name}: {kind}. Training does not refuse it, but the plan has formulas for dense "
        "decoders of text alone: train a few steps, and look at the memory of the GPUs"
    )
