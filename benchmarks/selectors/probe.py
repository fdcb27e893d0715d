"""Entropy of a run's models on a fixed probe set: the held-out problems with their reference answers.

A run's own entropy (`prepo/entropy_mean`) is that of the rollouts it chose, so it cannot be compared between
methods; this one can.
Boundary: reads the models that a run has saved, writes probe.jsonl beside them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from prepo_rlhf.output_head.torch_logits import log_probs_and_entropies

PROBE_FILE = "probe.jsonl"


def saved_models(folder: Path, base_model: Path) -> dict[int, Path]:
    """Step -> model, of the base model (step 0) and every Hugging Face checkpoint of the run."""
    checkpoints = (folder / "checkpoints").glob("global_step*_hf")
    steps = {int(re.search(r"step(\d+)_hf", path.name).group(1)): path for path in checkpoints}
    return {0: base_model} | dict(sorted(steps.items()))


@torch.no_grad()
def answer_entropy(model_path: Path, heldout: Path, template: str) -> float:
    """Mean entropy, in nats, of the next token over all tokens of the reference answers and the end after them."""
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    entropies = []
    for line in heldout.read_text().splitlines():
        row = json.loads(line)
        texts = template.replace("{}", row["prompt"]), row.get("response", row["label"])
        prompt, answer = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 :]
        entropies.append(log_probs_and_entropies(logits, logits.argmax(dim=-1))[1])
    return torch.cat(entropies).mean().item()


def write_probe(folder: Path, base_model: Path, heldout: Path, template: str) -> None:
    """A row for each saved model: step and entropy; `template` stands around a problem, {} in its place."""
    rows = [
        {"step": step, "entropy": answer_entropy(path, heldout, template)}
        for step, path in saved_models(folder, base_model).items()
    ]
    (folder / PROBE_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))
