"""Parameters of transformers' Llama, Qwen2 and Qwen3 from the sizes in their config.json.

So that the models of `known_models` are planned without transformers; a test compares both.
Boundary: sizes in, numbers out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Sizes = Mapping[str, Any]
"""Values by the names of a config.json."""


def head_dim(sizes: Sizes) -> int:
    """The size of an attention head."""
    return sizes.get("head_dim") or sizes["hidden_size"] // sizes["num_attention_heads"]


def parameters(sizes: Sizes) -> int:
    """Of the whole model; tied embeddings count once."""
    hidden, (query, key) = sizes["hidden_size"], _widths(sizes)
    biases = {"qwen2": query + 2 * key}  # of queries, keys and values
    head_norms = {"qwen3": 2 * head_dim(sizes)}
    layer = sum(inputs * outputs for inputs, outputs in _linear_layers(sizes).values()) + 2 * hidden  # two norms
    layer += biases.get(sizes["model_type"], 0) + head_norms.get(sizes["model_type"], 0)
    embeddings = sizes["vocab_size"] * hidden * (1 if sizes["tie_word_embeddings"] else 2)
    return sizes["num_hidden_layers"] * layer + hidden + embeddings


def adapter_parameters(sizes: Sizes, rank: int, targets: str | list[str]) -> int:
    """Of LoRA's adapters, as `model_shape.adapter_parameters` counts them in a model of transformers."""
    layers = _linear_layers(sizes)
    adapted = [layers[name] for name in layers if targets == "all-linear" or name in targets]
    head = [(sizes["hidden_size"], sizes["vocab_size"])] if "lm_head" in targets else []
    return sum(rank * (inputs + outputs) for inputs, outputs in adapted * sizes["num_hidden_layers"] + head)


def _widths(sizes: Sizes) -> tuple[int, int]:
    """Of all queries together, and of all keys, which is that of all values."""
    return tuple(sizes[heads] * head_dim(sizes) for heads in ("num_attention_heads", "num_key_value_heads"))


def _linear_layers(sizes: Sizes) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of those in one layer of the decoder."""
    hidden, inner, (query, key) = sizes["hidden_size"], sizes["intermediate_size"], _widths(sizes)
    return {
        "q_proj": (hidden, query),
        "k_proj": (hidden, key),
        "v_proj": (hidden, key),
        "o_proj": (query, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }
