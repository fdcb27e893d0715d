"""How long a text a model can read, and which token ids it knows, by its config.

Boundary: a config of transformers in, numbers out; imports none of the stack.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prepo_rlhf.config.base import ConfigError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# The names that vLLM looks at, of which the smallest counts.
_LENGTHS = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length", "max_target_positions",
    "max_sequence_length", "max_seq_length", "seq_len",
)  # fmt: skip
_SCALED_ALREADY = ("su", "longrope", "llama3")  # rope types whose configs give the length after scaling


def context_length(config: PretrainedConfig) -> int:
    """Tokens of the longest text, as vLLM (0.29) derives them; sys.maxsize for a model that sets no limit.

    A rope factor multiplies the positions; a sliding window is no limit.
    """
    text = config.get_text_config()
    lengths = [length for name in _LENGTHS if isinstance(length := getattr(text, name, None), int | float)]
    if not lengths:
        return sys.maxsize
    own = getattr(text, "model_max_length", None)  # counts before all others
    length = own or min(lengths)
    factor = 1.0
    for rope in _rope_parameters(text):
        kind = rope.get("rope_type", "default")
        if kind in _SCALED_ALREADY or "gemma3" in text.model_type:
            continue
        factor = rope.get("factor") or 1.0
        if kind == "yarn":
            length = rope.get("original_max_position_embeddings") or length
    return int(max(length * factor, own or 0))


def check_length(model: str, context: int, option: str, length: int) -> None:
    """Raise ConfigError if `model`, which reads `context` tokens, can't read the `length` that `option` asks for."""
    if length > context:
        raise ConfigError(
            f"{option} {length}: {model} reads at most {context} tokens, prompt and response together (by its "
            f"config.json): lower the first to {context}, or give a model with a longer context"
        )


def vocabulary_size(config: PretrainedConfig) -> int | None:
    """Token ids that the model has embeddings for, from 0; None where the config does not say."""
    size = getattr(config.get_text_config(), "vocab_size", None)
    return size if isinstance(size, int) else None


def _rope_parameters(text: PretrainedConfig) -> Iterator[dict[str, Any]]:
    """Those of the whole model, or of each type of layer."""
    parameters = getattr(text, "rope_parameters", None) or {}
    if any(isinstance(value, dict) for value in parameters.values()):
        yield from (value for value in parameters.values() if isinstance(value, dict))
    else:
        yield parameters
