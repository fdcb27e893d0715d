"""Engines beside the policy, on one fleet for each layout: tokens they draw, scores they give, weights they are sent.

The first tests of a fleet see the model as it was loaded, the later ones train it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import ray
import torch
from fleets import make_config, running_fleet
from scipy.stats import chisquare
from scoring_checks import assert_agree, plain_entropies, score_three_ways
from tiny_tasks import question_rows
from transformers import AutoModelForCausalLM, AutoTokenizer
from updates import make_experiences, make_rollouts, train_on

LAYOUTS: dict[str, dict[str, Any]] = {
    "one-rank": {},
    "zero3-two-engines": {
        "actor__num_gpus_per_node": 2, "ds__zero_stage": 3, "vllm__num_engines": 2, "rollout__temperature": 0.7,
    },
    "lora": {"ds__lora__rank": 4},
}  # fmt: skip
PROMPT = [5, 9, 14, 7]
SEED, SEEDED, FREE = 11, 64, 3000


@pytest.fixture(scope="module")
def fleet(
    request: pytest.FixtureRequest, ray_head: str, tiny_llama: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    # A LoRA adapter starts at zero and needs a few steps' worth of change to show.
    config = make_config(
        tiny_llama, tmp_path_factory.mktemp("fleet"), data__max_len=600, train__batch_size=16,
        rollout__micro_batch_size=4, actor__adam__lr=0.05, actor__lr_warmup_ratio=0.0, train__max_epochs=4,
        **LAYOUTS[request.param],
    )  # fmt: skip
    with running_fleet(config) as fleet:
        yield fleet


one_rank = pytest.mark.parametrize("fleet", ["one-rank"], indirect=True)


@one_rank
def test_tokens_are_drawn_from_the_policys_distribution(fleet: Any, tiny_llama: str) -> None:
    """Those of a seed with the numbers of that seed."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    from prepo_rlhf.backends import cpu_sampling

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
    assert (cpu_sampling.sample(probabilities.expand(SEEDED, -1), uniforms) != seeded).sum() <= 1
    expected = probabilities.double() / probabilities.double().sum() * FREE
    counts, usual = free.bincount(minlength=len(expected)), expected >= 5
    pooled = [torch.cat([values[usual], values[~usual].sum()[None]]) for values in (counts, expected)]
    assert usual.sum() > 20 and chisquare(*pooled).pvalue > 0.001


@one_rank
def test_ngram_speculation_by_engine_args(fleet: Any, tiny_llama: str, tmp_path: Path) -> None:
    """The most probable tokens and the scores of an engine without it, and samples that repeat themselves."""
    from prepo_rlhf.cluster.nodes import reserve
    from prepo_rlhf.ray import placement
    from prepo_rlhf.ray.requests import generation_params

    speculation = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 3, "prompt_lookup_min": 1}
    given = {"speculative_config": speculation, "per_request_spec_decode_metrics": "summary", "max_num_seqs": 17}
    config = make_config(
        tiny_llama, tmp_path, train__full_determinism_enable=True, vllm__engine_args=json.dumps(given),
        algo__advantage__is_correction_level="token",
    )  # fmt: skip
    (ngram,), (plain,) = placement.create_engines(config, reserve(1, 1)), fleet.engines
    texts = [row["question"] for row in question_rows(6, seed=3)]
    prompts = AutoTokenizer.from_pretrained(tiny_llama)(texts, add_special_tokens=False)["input_ids"]

    def rollouts(engine: Any, temperature: float, samples: int) -> tuple[list[list[int]], np.ndarray]:
        calls = []
        for place, (text, ids) in enumerate(zip(texts, prompts, strict=True)):
            params = generation_params(samples, temperature, 64, seed=SEED, log_probs=True)
            calls.append(engine.rollout.remote(text, ids, "", params, (place, len(texts))))
        responses = [response for group in ray.get(calls) for response in group]
        log_probs = np.concatenate([response["rollout_log_probs"] for response in responses])
        return [response["observation_tokens"] for response in responses], log_probs

    (tokens, log_probs), (same, close) = rollouts(plain, 0.0, 1), rollouts(ngram, 0.0, 1)
    assert same == tokens and np.abs(close - log_probs).max() < 1e-4
    first, again = rollouts(ngram, 1.0, 4), rollouts(ngram, 1.0, 4)
    assert first[0] == again[0] and np.array_equal(first[1], again[1])
    scores = zip(*ray.get([engine.score_prompts.remote(prompts) for engine in (plain, ngram)]), strict=True)
    assert all(np.abs(one - other).max() < 1e-4 for one, other in scores)
    (sample,) = ray.get(ngram.generate.remote(prompts[0], generation_params(1, 0.0, 64))).outputs
    assert sum(sample.spec_decode_metrics.histogram[1:]) > 0  # times that drafts were accepted
    limit = ngram.__ray_call__.remote(lambda actor: actor.engine.llm.vllm_config.scheduler_config.max_num_seqs)
    assert ray.get(limit) == 17
    ray.kill(ngram)


@one_rank
def test_a_response_ends_with_its_stop_and_is_trained_on_with_it(fleet: Any, tiny_llama: str) -> None:
    """With one of several tokens, one of which the prompt holds too, or with the token that completes a text."""
    from prepo_rlhf.prompts.stops import EOS_ALONE, Stops
    from prepo_rlhf.ray.gpu_turns import GpuTurns
    from prepo_rlhf.ray.requests import generation_params
    from prepo_rlhf.rollout.collector import RolloutCollector

    (engine,), tokenizer = fleet.engines, AutoTokenizer.from_pretrained(tiny_llama)

    def rollouts(stops: Stops) -> list[dict[str, Any]]:
        # Without a least number of tokens, for which vLLM would take the stops out of the first token's distribution.
        params = generation_params(8, 1.0, 64, seed=SEED, stops=stops)
        return ray.get(engine.rollout.remote("", PROMPT, None, params))

    free = [rollout["observation_tokens"][len(PROMPT) :] for rollout in rollouts(EOS_ALONE)]
    text = tokenizer.decode(free[0][10:13])[1:-1]  # begins and ends inside a token
    assert len(tokenizer(text)["input_ids"]) > 1
    cases = {
        Stops((free[0][10], PROMPT[1])): lambda tokens: tokens[-1] in (free[0][10], PROMPT[1]),
        Stops(texts=("in none of them", text)): lambda tokens: text in tokenizer.decode(tokens),
    }
    for stops, ended in cases.items():
        collector = RolloutCollector(
            fleet.strategy, fleet.calls, tokenizer, GpuTurns(fleet.strategy.args, fleet), stops
        )
        responses = rollouts(stops)
        assert len(responses[0]["observation_tokens"]) <= len(PROMPT) + 13
        for tokens, response, experience in zip(free, responses, collector._experiences(responses), strict=True):
            end = next((place for place in range(1, len(tokens) + 1) if ended(tokens[:place])), None)
            assert response["observation_tokens"] == [*PROMPT, *tokens[:end]]
            assert response["truncated"] == (end is None and tokens[-1] != tokenizer.eos_token_id)
            assert experience.sequences[0].tolist() == response["observation_tokens"]
            assert experience.action_mask[0].tolist() == [0] * (len(PROMPT) - 1) + [1] * len(tokens[:end])


@pytest.mark.parametrize("fleet", ["one-rank", "zero3-two-engines"], indirect=True)
def test_engines_policy_and_a_plain_forward_give_the_same_scores(fleet: Any, tiny_llama: str) -> None:
    from prepo_rlhf.rollout.scoring import policy_entropies

    texts = [row["question"] for row in question_rows(150, seed=3)]
    prompts = AutoTokenizer.from_pretrained(tiny_llama)(texts, add_special_tokens=False)["input_ids"]
    assert len(prompts) // 8 % 2 == 0 and len(prompts) % 8, "the micro-batches must not divide evenly over the ranks"
    assert_agree(score_three_ways(fleet, tiny_llama, prompts), prompts)
    entropies = policy_entropies(fleet.policy, 8, prompts), plain_entropies(tiny_llama, prompts)
    for found, plain in zip(*entropies, strict=True):
        np.testing.assert_allclose(found, plain, atol=1e-3)


def call_counter() -> Callable[[Any], Counter[str]]:
    """Counts the remote calls, by method, that a policy rank makes in a sync. Made here, Ray sends it by value."""

    def count(rank: Any) -> Counter[str]:
        calls: Counter[str] = Counter()
        original = ray.actor.ActorMethod._remote

        def counted(method: Any, *args: Any, **kwargs: Any) -> Any:
            calls[method._method_name] += 1
            return original(method, *args, **kwargs)

        with patch.object(ray.actor.ActorMethod, "_remote", counted):
            rank.broadcast_to_vllm()
        return calls

    return count


@pytest.mark.parametrize(
    "fleet", [pytest.param(name, marks=pytest.mark.long) if name == "lora" else name for name in LAYOUTS], indirect=True
)
def test_after_a_sync_the_engines_have_the_policys_weights(fleet: Any) -> None:
    from prepo_rlhf.ray.engine_calls import EngineCalls
    from prepo_rlhf.rollout.scoring import engine_log_probs, policy_log_probs

    prompts = [rollout.sequences[0].tolist() for rollout in make_rollouts(12, seed=5)]
    before = np.concatenate(engine_log_probs(fleet.calls, prompts))
    train_on(fleet, make_experiences(fleet))
    trained = np.concatenate(policy_log_probs(fleet.policy, 4, prompts))
    assert np.abs(trained - before).mean() > 0.5, "the step changed too little to tell old weights from new"
    for _ in range(2):
        called = ray.get([rank.__ray_call__.remote(call_counter()) for rank in fleet.policy._actor_handlers])
        of_engines = sum(called, Counter())
        assert set(of_engines.values()) == {len(fleet.engines)}
        assert set(of_engines) == {
            "start_weight_update", "update_weights", "finish_weight_update", "reset_prefix_cache",
        }  # fmt: skip
        synced = np.concatenate(engine_log_probs(fleet.calls, prompts))
        assert np.abs(synced - trained).mean() < 1e-3
    for engine in fleet.engines:
        alone = np.concatenate(engine_log_probs(EngineCalls([engine], False), prompts))
        assert np.abs(alone - trained).mean() < 1e-3


@pytest.mark.long
@pytest.mark.parametrize("fleet", ["lora"], indirect=True)
def test_a_lora_policy_is_saved_as_a_whole_model(fleet: Any) -> None:
    from prepo_rlhf.rollout.scoring import policy_log_probs

    prompts = [rollout.sequences[0].tolist() for rollout in make_rollouts(4, seed=5)]
    train_on(fleet, make_experiences(fleet))
    ray.get(fleet.policy.async_save_model())
    folder = fleet.strategy.args.ckpt.output_dir
    saved = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert len(AutoTokenizer.from_pretrained(folder)) and saved.generation_config.eos_token_id == 2
    for prompt, trained in zip(prompts, policy_log_probs(fleet.policy, 4, prompts), strict=True):
        with torch.no_grad():
            log_probs = saved(torch.tensor([prompt])).logits[0, :-1].log_softmax(-1)
        of_tokens = log_probs.gather(-1, torch.tensor(prompt)[1:, None])[:, 0]
        np.testing.assert_allclose(of_tokens.numpy(), trained, atol=1e-3)


@one_rank
def test_generation_starts_from_what_scoring_has_computed_and_never_from_old_weights(fleet: Any) -> None:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    from prepo_rlhf.rollout.scoring import engine_log_probs, policy_log_probs

    (engine,) = fleet.engines
    prompt = torch.randint(3, 500, (1, 300), generator=torch.Generator().manual_seed(7))[0].tolist()
    params = SamplingParams(max_tokens=1, temperature=0, logprobs=0, output_kind=RequestOutputKind.FINAL_ONLY)

    def generated() -> tuple[int, int, float]:
        """Prompt tokens that came from the cache, the token, and its log-prob."""
        output = ray.get(engine.generate.remote(prompt, params))
        token = output.outputs[0].token_ids[0]
        return output.num_cached_tokens, token, output.outputs[0].logprobs[0][token].logprob

    engine_log_probs(fleet.calls, [prompt])
    cached, token, before = generated()
    assert 128 <= cached < len(prompt)
    assert before == pytest.approx(policy_log_probs(fleet.policy, 1, [[*prompt, token]])[0][-1], abs=1e-3)
    train_on(fleet, make_experiences(fleet))
    trained = policy_log_probs(fleet.policy, 1, [[*prompt, token]])[0][-1]
    assert abs(trained - before) > 0.01, "the step changed too little to tell old weights from new"
    ray.get(fleet.policy.async_run_method("broadcast_to_vllm"))
    cached, token, after = generated()
    assert cached == 0
    assert after == pytest.approx(policy_log_probs(fleet.policy, 1, [[*prompt, token]])[0][-1], abs=1e-3)
