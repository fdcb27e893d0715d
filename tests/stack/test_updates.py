"""One training step on a given batch is the same whatever the layout."""

from __future__ import annotations

import math
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import pytest
import ray
import torch
from fleets import make_config, running_fleet
from safetensors.torch import load_file
from tiny_models import make_tiny_model
from tiny_tasks import question_rows
from transformers import AutoModelForCausalLM
from updates import make_experiences, make_rollouts, train_on

pytestmark = pytest.mark.usefixtures("ray_head")


def weights_of(experiences: list[Any]) -> torch.Tensor:
    """In the order of the rollouts, which filling micro-batches by tokens changes."""
    weights = {
        tuple(sequence[mask.bool()].tolist()): weight
        for e in experiences
        for sequence, mask, weight in zip(e.sequences, e.attention_mask, e.info["prepo_weight"].tolist(), strict=True)
    }
    return torch.tensor([weights[tuple(rollout.sequences[0].tolist())] for rollout in make_rollouts(16)])


def test_a_pass_too_many_is_not_made(tiny_llama: str, tmp_path: Path) -> None:
    """On two ranks: how far the policy is after a pass, and the learning rate, which goes on as if all were made."""
    from prepo_rlhf.trainer.policy_update import PolicyUpdate

    config = make_config(
        tiny_llama, tmp_path, train__batch_size=8, train__micro_batch_size=4, rollout__micro_batch_size=4,
        actor__adam__lr=0.01, actor__lr_warmup_ratio=0.0, actor__num_gpus_per_node=2, train__max_epochs=3,
    )  # fmt: skip
    made = []
    with running_fleet(config, with_engines=False) as fleet:
        experiences = make_experiences(fleet)
        for limit in (0.0, 100.0):
            update = PolicyUpdate(config.replaced({"train.reuse_limit": limit}), fleet.policy)
            measures = update(experiences, seed=1, kl_coef=0.0)
            made.append((measures["passes"], learning_rate(fleet)))
            if limit == 0.0:
                moved = moved_log_probs(fleet, experiences)
                assert measures["reuse_kl"] == pytest.approx((moved.exp() - 1 - moved).mean().item(), rel=1e-4)
                assert measures["reuse_kl"] > 0 and 0 <= measures["reuse_clip_ratio"] <= 1
    assert [passes for passes, _ in made] == [1, 3]
    # Of cosine_with_min_lr: the fleet was told of four steps, each of two updates a pass.
    schedule = [0.1 + 0.9 * (1 + math.cos(math.pi * updates / 24)) / 2 for updates in (6, 12)]
    assert [rate for _, rate in made] == pytest.approx([0.01 * share for share in schedule], rel=1e-6)


def test_replayed_groups_are_trained_on_and_measured(tiny_llama: str, tmp_path: Path) -> None:
    """On two ranks, after an update that moved the policy away from them; in the step's one update, as without them."""
    from prepo_rlhf.trainer.policy_update import PolicyUpdate
    from prepo_rlhf.trainer.replay import informative_groups

    config = make_config(
        tiny_llama, tmp_path, train__batch_size=16, train__micro_batch_size=4, rollout__micro_batch_size=4,
        actor__adam__lr=0.01, actor__lr_warmup_ratio=0.0, actor__num_gpus_per_node=2, train__replay_depth=1,
    )  # fmt: skip
    with running_fleet(config, with_engines=False) as fleet:
        update, earlier = PolicyUpdate(config, fleet.policy), make_experiences(fleet)
        groups = informative_groups(earlier, [config.rollout.n_samples_per_prompt] * 4)
        first = update(earlier, seed=1, kl_coef=0.0)
        assert len(groups) == 8 and first["replayed"] == 0 and "replay_kl" not in first
        own, moved = make_experiences(fleet), moved_log_probs(fleet, earlier)
        measures = update(own, seed=2, kl_coef=0.0, replayed=groups)
        assert measures["replayed"] == 8
        assert measures["replay_kl"] == pytest.approx((moved.exp() - 1 - moved).mean().item(), rel=1e-4)
        assert measures["replay_kl"] > 1e-4 and 0 < measures["replay_clip_ratio"] < 1
        assert measures["used_ratio"] == first["used_ratio"]
        # Of cosine_with_min_lr, after two updates of the four that the fleet was told of.
        assert learning_rate(fleet) == pytest.approx(0.01 * (0.1 + 0.9 * (1 + math.cos(math.pi / 2)) / 2), rel=1e-6)


def test_the_head_of_a_model_whose_embedding_it_is_is_saved_once(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model", [row["question"] for row in question_rows(200)], family="qwen2")
    config = make_config(model, tmp_path / "run", ds__param_dtype="fp32")
    with running_fleet(config, with_engines=False) as fleet:
        ray.get(fleet.policy.async_save_model())
    before, after = (load_file(Path(folder) / "model.safetensors") for folder in (model, config.ckpt.output_dir))
    assert after.keys() == before.keys() and "lm_head.weight" not in after
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight.float(), rtol=0, atol=0)
    loaded = AutoModelForCausalLM.from_pretrained(config.ckpt.output_dir)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


@pytest.mark.parametrize(("stage", "ranks"), [(3, 2), pytest.param(2, 1, marks=pytest.mark.long)])
def test_the_moving_average_moves_with_every_update(stage: int, ranks: int, tiny_llama: str, tmp_path: Path) -> None:
    """Whatever the number of its micro-batches, several here; and what is saved is the average of whole weights."""
    from prepo_rlhf.ray.weight_sync import PolicyWeights

    config = make_config(
        tiny_llama, tmp_path, train__batch_size=16, train__micro_batch_size=4, rollout__micro_batch_size=4,
        actor__adam__lr=0.01, actor__lr_warmup_ratio=0.0, ds__param_dtype="fp32", ds__zero_stage=stage,
        train__enable_ema=True, train__ema_beta=0.25, actor__num_gpus_per_node=ranks,
    )  # fmt: skip
    with running_fleet(config, with_engines=False) as fleet:
        train_on(fleet, make_experiences(fleet), leave_out=False)
        ray.get(fleet.policy.async_save_model())
        ranks_hold = [
            rank.__ray_call__.remote(lambda own: {n: w.clone() for n, w in PolicyWeights(own.actor.model.module)})
            for rank in fleet.policy._actor_handlers
        ]
        trained = ray.get(ranks_hold)[0]
    before = {name: weight.float() for name, weight in load_file(Path(tiny_llama) / "model.safetensors").items()}
    saved = load_file(Path(config.ckpt.output_dir) / "model.safetensors")
    assert max((trained[name] - before[name]).abs().max() for name in before) > 0.005
    for name, weight in saved.items():
        torch.testing.assert_close(weight, 0.25 * before[name] + 0.75 * trained[name], rtol=0, atol=1e-6)


def learning_rate(fleet: Any) -> float:
    return ray.get(fleet.policy._actor_handlers[0].__ray_call__.remote(lambda rank: rank.actor.model.get_lr()[0]))


def moved_log_probs(fleet: Any, experiences: list[Any]) -> torch.Tensor:
    """New less old log-probs at the response tokens of sequences with an advantage."""
    names = ("sequences", "action_mask", "attention_mask")
    given = {name: [getattr(e, name) for e in experiences] for name in names}
    answers = [each for rank in ray.get(fleet.policy.async_run_method_batch("forward", **given)) for each in rank]
    moved = []
    for e, (log_probs, _) in zip(experiences, answers, strict=True):
        used = e.action_mask.bool() & (e.advantages * e.action_mask).ne(0).any(-1, keepdim=True)
        moved.append((log_probs - e.action_log_probs)[used].double())
    return torch.cat(moved)


LAYOUTS: dict[str, dict[str, Any]] = {
    "one": {"train__full_determinism_enable": True},
    "two": {"actor__num_gpus_per_node": 2},
    "two-zero3": {"actor__num_gpus_per_node": 2, "ds__zero_stage": 3},
    "two-zero1": {"actor__num_gpus_per_node": 2, "ds__zero_stage": 1},
    "two-zero0": {"actor__num_gpus_per_node": 2, "ds__zero_stage": 0},
    "packed": {"ds__packing_samples": True},
    "dynamic": {"train__dynamic_batch_enable": True, "train__max_tokens_per_gpu": 120},
    "two-zero3-dynamic": {
        "actor__num_gpus_per_node": 2, "ds__zero_stage": 3, "train__dynamic_batch_enable": True,
        "train__max_tokens_per_gpu": 120,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("names", "mean", "sizes"),
    [
        pytest.param(["one", "packed", "two-zero3-dynamic"], "token-mean", None, id="those-that-differ-most"),
        pytest.param(list(LAYOUTS), "token-mean", None, id="all", marks=pytest.mark.long),
        pytest.param(list(LAYOUTS), "seq-mean-token-mean", None, id="all-sequence-mean", marks=pytest.mark.long),
        pytest.param(
            ["one", "packed", "two", "two-zero3-dynamic"], "token-mean", [2, 6, 2, 4, 2], id="unequal-groups",
            marks=pytest.mark.long,
        ),
    ],
)  # fmt: skip
def test_every_layout_makes_the_same_update(
    names: list[str], mean: str, sizes: list[int] | None, tiny_llama: str, tmp_path: Path
) -> None:
    """Ranks, ZeRO stages, samples packed without padding, and micro-batches filled by tokens; two passes.

    The first trains on all sequences, the others leave out those without advantage, so that a rank may have none. It
    is deterministic, for which PyTorch would write to all 2 GB of DeepSpeed's gradient bucket if it could.
    """
    weights, updates, measures, peaks = {}, {}, {}, {}
    before = load_file(Path(tiny_llama) / "model.safetensors")
    for name in names:
        config = make_config(
            tiny_llama, tmp_path / name, train__batch_size=16, train__micro_batch_size=4, rollout__micro_batch_size=4,
            actor__adam__lr=0.01, actor__adam__eps=0.01, actor__lr_warmup_ratio=0.0, train__max_epochs=2,
            actor__loss_agg_mode=mean, **LAYOUTS[name],
        )  # fmt: skip
        with running_fleet(config, with_engines=False) as fleet:
            by_token = weights_of(make_experiences(fleet, "token", group_sizes=sizes))
            by_sign = weights_of(make_experiences(fleet, weight_balance="sign", group_sizes=sizes))
            experiences = make_experiences(fleet, group_sizes=sizes)
            measures[name] = train_on(fleet, experiences, leave_out=name != "one")
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
    right = torch.cat([rollout.rewards for rollout in make_rollouts(16)]) == 1
    groups = right.split(sizes or [4] * 4)
    assert sum(bool(group.any()) for group in groups) == (3 if sizes else 2)
    wrong = ~right & torch.cat([group.any().expand(len(group)) for group in groups])
    assert by_sign[right].mean().item() == pytest.approx(1, abs=1e-5)
    assert by_sign[wrong].mean().item() == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(by_sign, plain, rtol=1e-4)
    assert updates["one"].abs().max() > 0.003
    assert peaks["one"] < 1.2 * peaks["packed"]
    for name in names:
        torch.testing.assert_close(weights[name], weights["one"], rtol=1e-4, atol=0)
        for measure in ("actor_grad_norm", "policy_loss", "ppo_clip_ratio"):
            assert measures[name][measure] == pytest.approx(measures["one"][measure], rel=1e-4, abs=1e-6)
        # In proportion to the gradient where that is small beside epsilon, so that its rounding stays small too.
        torch.testing.assert_close(updates[name], updates["one"], rtol=0, atol=1e-6)
