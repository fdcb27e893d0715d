"""One training step on a given batch: the same whatever the layout, and what the engines have afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import ray
import torch
from fleets import make_config, running_fleet
from safetensors.torch import load_file
from transformers import AutoTokenizer

pytestmark = pytest.mark.usefixtures("ray_head")


def make_rollouts(count: int, seed: int = 0) -> list[Any]:
    """Random sequences of different lengths with rewards, as the engines would return them."""
    from openrlhf.trainer.ppo_utils.experience import Experience

    generator = torch.Generator().manual_seed(seed)
    rollouts = []
    for i in range(count):
        prompt, response = (int(torch.randint(low, 24, (), generator=generator)) for low in (4, 2))
        tokens = torch.randint(3, 500, (1, prompt + response), generator=generator)
        action_mask = torch.zeros(1, prompt + response - 1, dtype=torch.long)
        action_mask[:, prompt - 1 :] = 1
        reward = torch.tensor([float(i % 3 == 0)])
        rollouts.append(
            Experience(
                sequences=tokens, attention_mask=torch.ones_like(tokens), action_mask=action_mask, prompts=["p"],
                labels=["l"], rewards=reward, scores=reward, response_length=torch.tensor([response]),
                truncated=torch.tensor([False]), total_length=torch.tensor([float(prompt + response)]),
                info={"reward": reward},
            )
        )  # fmt: skip
    return rollouts


def make_experiences(fleet: Any, entropy_mean: str = "sequence", weight_balance: str = "batch") -> list[Any]:
    from openrlhf.trainer.ppo_utils.kl_controller import FixedKLController

    from prepo_rlhf.trainer.experience_maker import ExperienceMaker

    options = fleet.strategy.args.prepo
    options.entropy_mean, options.weight_balance = entropy_mean, weight_balance
    tokenizer = AutoTokenizer.from_pretrained(fleet.strategy.args.actor.model_name_or_path)
    maker = ExperienceMaker(fleet.policy, None, None, None, FixedKLController(0.0), fleet.strategy, tokenizer)
    return maker.make_experience_batch(make_rollouts(16))


def train_on(fleet: Any, experiences: list[Any]) -> dict[str, float]:
    """OpenRLHF's own measures of the update."""
    ray.get(fleet.policy.async_run_method("seed", 0))
    ray.get(fleet.policy.async_run_method_batch("append", experience=experiences))
    return ray.get(fleet.policy.async_run_method("fit", kl_ctl=0.0))[0]


def weights_of(experiences: list[Any]) -> torch.Tensor:
    """In the order of the rollouts, which filling micro-batches by tokens changes."""
    weights = {
        tuple(sequence[mask.bool()].tolist()): weight
        for e in experiences
        for sequence, mask, weight in zip(e.sequences, e.attention_mask, e.info["prepo_weight"].tolist(), strict=True)
    }
    return torch.tensor([weights[tuple(rollout.sequences[0].tolist())] for rollout in make_rollouts(16)])


LAYOUTS: dict[str, dict[str, Any]] = {
    "one": {"train__full_determinism_enable": True},
    "two": {"actor__num_gpus_per_node": 2},
    "two-zero3": {"actor__num_gpus_per_node": 2, "ds__zero_stage": 3},
    "packed": {"ds__packing_samples": True},
    "dynamic": {"train__dynamic_batch_enable": True, "train__max_tokens_per_gpu": 120},
    "two-zero3-dynamic": {
        "actor__num_gpus_per_node": 2, "ds__zero_stage": 3, "train__dynamic_batch_enable": True,
        "train__max_tokens_per_gpu": 120,
    },
}  # fmt: skip


def test_every_layout_makes_the_same_update(tiny_llama: str, tmp_path: Path) -> None:
    """Ranks, ZeRO stages, samples packed without padding, and micro-batches filled by tokens.

    The first is deterministic, for which PyTorch would write to all 2 GB of DeepSpeed's gradient bucket if it could.
    """
    weights, updates, norms, peaks = {}, {}, {}, {}
    before = load_file(Path(tiny_llama) / "model.safetensors")
    for name, layout in LAYOUTS.items():
        config = make_config(
            tiny_llama, tmp_path / name, train__batch_size=16, train__micro_batch_size=4, rollout__micro_batch_size=4,
            actor__adam__lr=0.05, actor__lr_warmup_ratio=0.0, **layout,
        )  # fmt: skip
        with running_fleet(config, with_engines=False) as fleet:
            by_token = weights_of(make_experiences(fleet, "token"))
            by_sign = weights_of(make_experiences(fleet, weight_balance="sign"))
            experiences = make_experiences(fleet)
            norms[name] = train_on(fleet, experiences)["actor_grad_norm"]
            ranks = fleet.policy._actor_handlers
            assert all(ray.get([rank.__ray_call__.remote(lambda own: own.actor._knows_head) for rank in ranks]))
            memory = [rank.__ray_call__.remote(lambda _: getrusage(RUSAGE_SELF).ru_maxrss) for rank in ranks]
            peaks[name] = max(ray.get(memory))
            ray.get(fleet.policy.async_save_model())
        weights[name] = torch.stack([weights_of(experiences), by_token, by_sign])
        after = load_file(Path(config.ckpt.output_dir) / "model.safetensors")
        updates[name] = torch.cat([(after[key].float() - before[key].float()).flatten() for key in sorted(before)])
    plain, by_token, by_sign = weights["one"]
    assert plain.std() > 0.01 and not torch.allclose(by_token, plain, rtol=1e-3)
    right = torch.arange(16) % 3 == 0
    assert by_sign[right].mean().item() == pytest.approx(1, abs=1e-5)
    assert by_sign[~right].mean().item() == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(by_sign, plain, rtol=1e-4)
    assert updates["one"].abs().max() > 0.01
    assert peaks["one"] < 1.2 * peaks["packed"]
    for name in LAYOUTS:
        torch.testing.assert_close(weights[name], weights["one"], rtol=1e-4, atol=0)
        assert norms[name] == pytest.approx(norms["one"], rel=1e-3)
        assert torch.nn.functional.cosine_similarity(updates[name], updates["one"], dim=0) > 0.999
        # Adam's first step has the size of the learning rate everywhere, so compare where the gradient is not noise.
        assert (updates[name] - updates["one"]).abs().mean() < 0.05 * updates["one"].abs().mean()


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
    "changes",
    [
        pytest.param({}, id="one-rank"),
        pytest.param(
            {"actor__num_gpus_per_node": 2, "ds__zero_stage": 3, "vllm__num_engines": 2}, id="zero3-two-engines"
        ),
        pytest.param({"ds__lora__rank": 4}, id="lora"),
    ],
)
def test_after_a_sync_the_engines_have_the_policys_weights(
    changes: dict[str, Any], tiny_llama: str, tmp_path: Path
) -> None:
    prompts = [rollout.sequences[0].tolist() for rollout in make_rollouts(12, seed=5)]
    # A LoRA adapter starts at zero and needs a few steps' worth of change to show.
    config = make_config(
        tiny_llama, tmp_path, train__batch_size=16, rollout__micro_batch_size=4, actor__adam__lr=0.05,
        actor__lr_warmup_ratio=0.0, train__max_epochs=4, **changes,
    )  # fmt: skip
    with running_fleet(config) as fleet:
        from prepo_rlhf.rollout.scoring import engine_log_probs, policy_log_probs

        before = np.concatenate(engine_log_probs(fleet.engines, prompts))
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
            synced = np.concatenate(engine_log_probs(fleet.engines, prompts))
            assert np.abs(synced - trained).mean() < 1e-3
        for engine in fleet.engines:
            alone = np.concatenate(engine_log_probs([engine], prompts))
            assert np.abs(alone - trained).mean() < 1e-3


def test_generation_starts_from_what_scoring_has_computed_and_never_from_old_weights(
    tiny_llama: str, tmp_path: Path
) -> None:
    prompt = torch.randint(3, 500, (1, 300), generator=torch.Generator().manual_seed(7))[0].tolist()
    config = make_config(
        tiny_llama, tmp_path, data__max_len=512, train__batch_size=16, rollout__micro_batch_size=4,
        actor__adam__lr=0.05, actor__lr_warmup_ratio=0.0,
    )  # fmt: skip
    with running_fleet(config) as fleet:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind
        from vllm.utils import random_uuid

        from prepo_rlhf.rollout.scoring import engine_log_probs, policy_log_probs

        (engine,) = fleet.engines
        params = SamplingParams(max_tokens=1, temperature=0, logprobs=0, output_kind=RequestOutputKind.FINAL_ONLY)

        def generated() -> tuple[int, int, float]:
            """Prompt tokens that came from the cache, the token, and its log-prob."""
            output = ray.get(engine._request.remote(random_uuid(), prompt, params, None))
            token = output.outputs[0].token_ids[0]
            return output.num_cached_tokens, token, output.outputs[0].logprobs[0][token].logprob

        engine_log_probs([engine], [prompt])
        cached, token, before = generated()
        assert 128 <= cached < len(prompt)
        assert before == pytest.approx(policy_log_probs(fleet.policy, 1, [[*prompt, token]])[0][-1], abs=1e-3)
        train_on(fleet, make_experiences(fleet))
        ray.get(fleet.policy.async_run_method("broadcast_to_vllm"))
        cached, token, after = generated()
        assert cached == 0
        assert after == pytest.approx(policy_log_probs(fleet.policy, 1, [[*prompt, token]])[0][-1], abs=1e-3)
