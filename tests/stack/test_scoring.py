"""Prompt perplexities by the engines, by the policy and by a plain Hugging Face forward are the same."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fleets import make_config, running_fleet
from scipy.stats import spearmanr
from tiny_models import make_tiny_model
from tiny_tasks import question_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = pytest.mark.usefixtures("ray_head")


def plain_log_probs(model: str, prompts: list[list[int]]) -> list[np.ndarray]:
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    log_probs = []
    with torch.no_grad():
        for prompt in prompts:
            ids = torch.tensor([prompt])
            logits = policy(ids).logits[0, :-1].float()
            log_probs.append(logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0].numpy())
    return log_probs


def perplexities(log_probs: list[np.ndarray]) -> np.ndarray:
    return np.array([np.exp(-values.astype(np.float64).mean()) for values in log_probs])


def score_three_ways(model: str, prompts: list[list[int]], tmp_path: Path, **changes: Any) -> list[list[np.ndarray]]:
    config = make_config(model, tmp_path, data__max_len=600, **changes)
    with running_fleet(config) as fleet:
        from prepo_rlhf.rollout.scoring import engine_log_probs, policy_log_probs

        score_engine = partial(engine_log_probs, fleet.engines)
        score_policy = partial(policy_log_probs, fleet.policy, 8)
        return [score_engine(prompts), score_policy(prompts), plain_log_probs(model, prompts)]


def assert_agree(scores: list[list[np.ndarray]], prompts: list[list[int]]) -> None:
    for one in scores:
        assert [len(values) for values in one] == [len(prompt) - 1 for prompt in prompts]
    plain = perplexities(scores[2])
    for one in scores[:2]:
        assert spearmanr(perplexities(one), plain).statistic >= 0.999
        assert np.abs(np.log(perplexities(one)) - np.log(plain)).max() < 1e-3  # nats a token


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_300_gsm8k_prompts(family: str, benchmarks: Path, tmp_path: Path) -> None:
    rows = (benchmarks / "gsm8k_train.jsonl").read_text().splitlines()[:300]
    texts = [json.loads(row)["question"] for row in rows]
    model = make_tiny_model(tmp_path / family, texts, family=family)
    prompts = AutoTokenizer.from_pretrained(model)(texts, add_special_tokens=False)["input_ids"]
    assert_agree(score_three_ways(model, prompts, tmp_path), prompts)


def test_two_engines_and_two_zero3_ranks(tiny_llama: str, tmp_path: Path) -> None:
    texts = [row["question"] for row in question_rows(150, seed=3)]
    prompts = AutoTokenizer.from_pretrained(tiny_llama)(texts, add_special_tokens=False)["input_ids"]
    changes = dict(vllm__num_engines=2, actor__num_gpus_per_node=2, ds__zero_stage=3, rollout__temperature=0.7)
    assert len(prompts) // 8 % 2 == 0 and len(prompts) % 8, "the micro-batches must not divide evenly over the ranks"
    assert_agree(score_three_ways(tiny_llama, prompts, tmp_path, **changes), prompts)
