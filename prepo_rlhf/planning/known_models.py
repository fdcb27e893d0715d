"""The paper's models by their Hugging Face names: what in their published config.json decides sizes.

So that they can be planned without a network. Boundary: data alone.
"""

from __future__ import annotations

from typing import Any

_KEYS = (
    "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "tie_word_embeddings", "max_position_embeddings",
)  # fmt: skip
_QWEN25_7B = ("qwen2", 152064, 3584, 18944, 28, 28, 4, False)
_LLAMA31_8B = ("llama", 128256, 4096, 14336, 32, 32, 8, False, 131072)
_VALUES = {
    "Qwen/Qwen2.5-Math-1.5B": ("qwen2", 151936, 1536, 8960, 28, 12, 2, True, 4096),
    "Qwen/Qwen2.5-Math-7B": (*_QWEN25_7B, 4096),
    "Qwen/Qwen2.5-7B": (*_QWEN25_7B, 131072),
    "Qwen/Qwen3-4B": ("qwen3", 151936, 2560, 9728, 36, 32, 8, True, 40960),
    "meta-llama/Llama-3.1-8B": _LLAMA31_8B,
    "meta-llama/Llama-3.1-8B-Instruct": _LLAMA31_8B,
}
KNOWN_MODELS: dict[str, dict[str, Any]] = {
    name: dict(zip(_KEYS, values, strict=True)) for name, values in _VALUES.items()
}
KNOWN_MODELS["Qwen/Qwen3-4B"]["head_dim"] = 128  # the others': hidden_size / num_attention_heads
