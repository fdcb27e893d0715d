"""Reward of the arithmetic task, in OpenRLHF's `reward_func(queries, prompts, labels)` interface.

A response earns 1 when its whole chain and its result are those of the label, whatever separators it uses, else 0.
A bare result earns nothing: guessed, it would be right one time in ten, and no prompt would ever be all wrong.
Boundary: loaded by path, hence self-contained: the standard library and torch only.
"""

from __future__ import annotations

import re

import torch

_SEPARATOR = re.compile(r"[ ,;/|]")
_EOS = "<eos>"


def reward_func(queries: list[str], prompts: list[str], labels: list[str], **_: object) -> dict[str, object]:
    """Scores N responses.

    Args:
        queries: prompt and response as one text, special tokens included.
        prompts: the prompts alone.
        labels: the canonical answers, e.g. ` (a)7+5=2, (b)2-3=9,#9`.

    Returns:
        `rewards` and `scores`, float tensors of shape (N,), and `extra_logs` with two more of that shape:
        `result_correct` (the last digit is right) and `shows_chain` (there is at least one step).
    """
    responses = [_response(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
    pairs = list(zip(responses, labels, strict=True))
    rewards = torch.tensor([float(_values(response) == _values(label)) for response, label in pairs])
    result_correct = torch.tensor([float(response[-2:] == label[-2:]) for response, label in pairs])
    shows_chain = torch.tensor([float("=" in response) for response in responses])
    logs = {"result_correct": result_correct, "shows_chain": shows_chain}
    return {"rewards": rewards, "scores": rewards.clone(), "extra_logs": logs}


def _values(answer: str) -> str:
    """What must be right in an answer: everything but its style."""
    return _SEPARATOR.sub("", answer)


def _response(query: str, prompt: str) -> str:
    """The text between the prompt and the end-of-sequence token; all of the query when the prompt isn't in it."""
    _, found, response = query.partition(prompt)
    return (response if found else query).split(_EOS, 1)[0]
