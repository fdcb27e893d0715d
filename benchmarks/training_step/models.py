"""Random models whose responses are as long as they may be.

Boundary: makes a folder that Transformers and vLLM load; trains nothing.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jobs import TASK
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

# The tokenizer knows 192 of them, so that hardly any sample is the end of the sequence.
VOCABULARY = 4096


def save_random_model(path: Path, layers: int = 4, hidden_size: int = 192, vocabulary: int = VOCABULARY) -> Path:
    """A Llama of 3 million parameters by default, with the arithmetic example's tokenizer; of 9 tensors a layer."""
    tokenizer = AutoTokenizer.from_pretrained(TASK / "checkpoints" / "mid")
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden_size, intermediate_size=8 * hidden_size // 3, head_dim=32,
        num_hidden_layers=layers, num_attention_heads=hidden_size // 32, num_key_value_heads=hidden_size // 32,
        max_position_embeddings=4096, pad_token_id=0, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
