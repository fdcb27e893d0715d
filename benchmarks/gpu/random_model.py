"""A model of random weights with a tokenizer and problems, all made on the spot: a machine without a network has these.

Boundary: makes folders and files that training and vLLM load; measures nothing.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config

_QWEN = dict(
    vocab_size=151_936, hidden_size=1536, intermediate_size=8960, num_attention_heads=12, num_key_value_heads=2,
    max_position_embeddings=32_768, tie_word_embeddings=True,
)  # fmt: skip
SHAPES = {
    "Qwen2.5-1.5B": _QWEN | dict(num_hidden_layers=28),
    "Qwen2.5-1.5B, 4 layers": _QWEN | dict(num_hidden_layers=4),
    "tiny": dict(
        vocab_size=512, hidden_size=64, intermediate_size=128, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=2048, tie_word_embeddings=True, num_hidden_layers=2,
    ),
}  # fmt: skip
REWARD = '''"""Right half the time, by the length of what was written: a random model earns it, and groups differ."""

import torch


def reward_func(queries, prompts, labels):
    scores = torch.tensor([float(len(query) % 2) for query in queries])
    return {"rewards": scores, "scores": scores}
'''


def make_model(work: Path, shape: str) -> Path:
    """The folder of the model of one of SHAPES below `work`, in bfloat16, made unless it is there."""
    folder = work / shape.replace(", ", "-").replace(" ", "-")
    if not folder.is_dir():  # in a process of its own, which leaves no memory of a GPU taken
        subprocess.run([sys.executable, __file__, str(folder), shape], check=True)
    return folder


def _make(folder: Path, shape: str) -> None:
    tokenizer = _train_tokenizer([question for question, _ in problems(300)])
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):  # random numbers for a billion weights
        model = AutoModelForCausalLM.from_config(Qwen2Config(**SHAPES[shape], **ends), dtype=torch.bfloat16)
    made = Path(tempfile.mkdtemp(dir=folder.parent))  # who is stopped leaves no half of a model under the name
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)
    made.rename(folder)


def write_task(folder: Path, count: int) -> tuple[Path, Path]:
    """A file of `count` problems and one with a reward."""
    folder.mkdir(parents=True, exist_ok=True)
    data, reward = folder / "problems.jsonl", folder / "reward.py"
    rows = [{"question": question, "answer": answer} for question, answer in problems(count)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    reward.write_text(REWARD)
    return data, reward


def problems(count: int) -> list[tuple[str, str]]:
    """Sums in words, of different lengths, with their answers."""
    rng = random.Random(0)
    found = []
    for _ in range(count):
        numbers = [rng.randint(1, 99) for _ in range(rng.randint(2, 8))]
        found.append((f"What is {' plus '.join(map(str, numbers))}? Answer:", str(sum(numbers))))
    return found


def _train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte pairs; tokens of the model beyond its vocabulary decode to nothing."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<pad>", "<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


if __name__ == "__main__":
    _make(Path(sys.argv[1]), sys.argv[2])
