"""Log-probs of prompts by the engines, by the policy and by a plain Hugging Face forward, compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM


def plain_log_probs(model: str, prompts: list[list[int]]) -> list[np.ndarray]:
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    log_probs = []
    with torch.no_grad():
        for prompt in prompts:
            ids = torch.tensor([prompt])
            logits = policy(ids).logits[0, :-1].float()
            log_probs.append(logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0].numpy())
    return log_probs


def plain_entropies(model: str, prompts: list[list[int]]) -> list[np.ndarray]:
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with torch.no_grad():
        log_probs = [policy(torch.tensor([prompt])).logits[0, :-1].log_softmax(-1) for prompt in prompts]
    return [-(values.exp() * values).sum(-1).numpy() for values in log_probs]


def perplexities(log_probs: list[np.ndarray]) -> np.ndarray:
    return np.array([np.exp(-values.astype(np.float64).mean()) for values in log_probs])


def score_three_ways(fleet: Any, model: str, prompts: list[list[int]]) -> list[list[np.ndarray]]:
    from prepo_rlhf.rollout.scoring import engine_log_probs, policy_log_probs

    by_engines, by_policy = engine_log_probs(fleet.calls, prompts), policy_log_probs(fleet.policy, 8, prompts)
    return [by_engines, by_policy, plain_log_probs(model, prompts)]


def assert_agree(scores: list[list[np.ndarray]], prompts: list[list[int]]) -> None:
    for one in scores:
        assert [len(values) for values in one] == [len(prompt) - 1 for prompt in prompts]
    plain = perplexities(scores[2])
    for one in scores[:2]:
        assert spearmanr(perplexities(one), plain).statistic >= 0.999
        assert np.abs(np.log(perplexities(one)) - np.log(plain)).max() < 1e-3  # nats a token
