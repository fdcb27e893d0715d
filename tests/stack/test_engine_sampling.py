"""An engine's tokens are drawn from the policy's distribution, those of a seed with the numbers of that seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray
import torch
from fleets import make_config, running_fleet
from scipy.stats import chisquare
from transformers import AutoModelForCausalLM
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from prepo_rlhf.backends.cpu_sampling import draw

pytestmark = pytest.mark.usefixtures("ray_head")

PROMPT = [5, 9, 14, 7]
SEED, SEEDED, FREE = 11, 64, 3000


def test_one_token_after_a_prompt(tiny_llama: str, tmp_path: Path) -> None:
    with running_fleet(make_config(tiny_llama, tmp_path)) as fleet:

        def tokens(**params: int) -> torch.Tensor:
            kind = RequestOutputKind.FINAL_ONLY
            asked = SamplingParams(temperature=0.8, max_tokens=1, output_kind=kind, **params)
            rollouts = ray.get(fleet.engines[0].rollout.remote("", PROMPT, None, asked))
            return torch.tensor([rollout["observation_tokens"][-1] for rollout in rollouts])

        seeded, free = tokens(n=SEEDED, seed=SEED), tokens(n=FREE)
    policy = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    with torch.no_grad():
        probabilities = (policy(torch.tensor([PROMPT])).logits[0, -1] / 0.8).softmax(-1)
    seeds = (torch.Generator().manual_seed(SEED + sample) for sample in range(SEEDED))
    uniforms = torch.stack([torch.rand((), dtype=torch.float64, generator=generator) for generator in seeds])
    # The engine's logits differ by rounding, which can move a number over the edge of a token's share.
    assert (draw(probabilities.expand(SEEDED, -1), uniforms) != seeded).sum() <= 1
    expected = probabilities.double() / probabilities.double().sum() * FREE
    counts, usual = free.bincount(minlength=len(expected)), expected >= 5
    pooled = [torch.cat([values[usual], values[~usual].sum()[None]]) for values in (counts, expected)]
    assert usual.sum() > 20 and chisquare(*pooled).pvalue > 0.001
