"""Teaches a tiny model a few responses, so that a job's rollouts hold what a test wants to see."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def teach(model_path: str, prompts: Sequence[str], responses: Sequence[str], steps: int = 200) -> None:
    """Train the model under `model_path` in place to answer any of the prompts with any of the responses.

    Each response ends with the end-of-sequence token; the loss is on responses alone.
    """
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    answers = [tokenizer(response, add_special_tokens=False)["input_ids"] for response in responses]
    questions = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    rng, optimizer = random.Random(0), torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        pairs = [(rng.choice(questions), rng.choice(answers) + [tokenizer.eos_token_id]) for _ in range(8)]
        width = max(len(question) + len(answer) for question, answer in pairs)
        tokens = torch.full((len(pairs), width), tokenizer.pad_token_id)
        labels = torch.full((len(pairs), width), -100)
        for row, (question, answer) in enumerate(pairs):
            end = len(question) + len(answer)
            tokens[row, :end] = torch.tensor(question + answer)
            labels[row, len(question) : end] = torch.tensor(answer)
        model(input_ids=tokens, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.to(torch.bfloat16).save_pretrained(model_path)
