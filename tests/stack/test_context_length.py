"""The context of a model by its config is the one up to which vLLM takes --data.max_len."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, GPT2Config, Qwen2Config

from prepo_rlhf.files.model_limits import context_length

ROPE = {"rope_theta": 10000.0}
LLAMA3 = ROPE | {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "linear": {"rope_parameters": ROPE | {"rope_type": "linear", "factor": 2.0}},
    "dynamic": {"rope_parameters": ROPE | {"rope_type": "dynamic", "factor": 2.0}},
    "yarn": {"rope_parameters": ROPE | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}},
    "yarn-without-original": {"rope_parameters": ROPE | {"rope_type": "yarn", "factor": 4.0}},
    "llama3": {"rope_parameters": LLAMA3 | {"factor": 8.0, "original_max_position_embeddings": 1024}},
    "old-names": {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 4.0}},
    "window": {"sliding_window": 128},
    "own-length": {"model_max_length": 5000},
    "own-shorter-length": {"model_max_length": 300, "rope_parameters": ROPE | {"rope_type": "linear", "factor": 4.0}},
    "another-name": {"seq_length": 100},
}
OTHERS = {
    "gpt2": GPT2Config(
        vocab_size=512, n_positions=300, n_embd=64, n_layer=2, n_head=2, architectures=["GPT2LMHeadModel"],
        bos_token_id=1, eos_token_id=2,
    ),
    "qwen2-window": Qwen2Config(
        vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=400, use_sliding_window=True, sliding_window=64, max_window_layers=1,
        architectures=["Qwen2ForCausalLM"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [*CONFIGS, *OTHERS])
def test_it_is_as_long_as_vllm_takes(name: str, tiny_llama: str, tmp_path: Path) -> None:
    from vllm.config import ModelConfig

    folder = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    if name in OTHERS:
        OTHERS[name].save_pretrained(folder)
    else:
        entries = json.loads((folder / "config.json").read_text()) | CONFIGS[name]
        (folder / "config.json").write_text(json.dumps(entries))
    longest = context_length(AutoConfig.from_pretrained(folder))
    assert ModelConfig(model=str(folder), dtype="float32", max_model_len=longest).max_model_len == longest
    with pytest.raises(ValueError, match="greater than the derived max_model_len"):
        ModelConfig(model=str(folder), dtype="float32", max_model_len=longest + 1)
