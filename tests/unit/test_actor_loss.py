"""The weighted loss against the literal transcription of the paper, and against OpenRLHF's without weights."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from prepo_rlhf.algorithm.entropy_weights import relative_entropy_weights
from prepo_rlhf.algorithm.masked import masked_mean
from prepo_rlhf.algorithm.weighted_advantages import weighted_advantages
from prepo_rlhf.ray.actor_loss import PolicyLoss, WeightedPolicyLoss

EPS = (0.2, 0.28)
INPUTS = ("log_probs", "old_log_probs", "advantages", "action_mask", "rollout_log_probs")
LOSS_KINDS = [("ppo", True), ("ppo", False), ("gspo", False)]
CORRECTIONS = [
    {"level": "token", "mode": "clip", "gating": "ratio", "threshold": (0.7, 1.3)},
    {"level": "token", "mode": "mask", "gating": "ratio", "threshold": (0.7, 1.3)},
    {"level": "seq", "mode": "mask", "gating": "ratio", "threshold": (0.9, 1.1)},
    {"level": "token", "mode": "mask", "gating": "binary_kl", "threshold": (0.0, 0.02)},
    {"level": "seq", "mode": "mask", "gating": "binary_kl", "threshold": (0.0, 0.02)},
    {"level": "token", "mode": "mask", "gating": "tv", "threshold": (0.0, 0.1)},
    {"level": "seq", "mode": "mask", "gating": "tv", "threshold": (0.0, 0.1)},
]


def make_batch(seed: int, size: int = 6, width: int = 7) -> dict[str, Any]:
    """Random batch in float64 whose ratios reach well outside the clip on both sides."""
    generator = torch.Generator().manual_seed(seed)

    def normal(scale: float) -> Tensor:
        return torch.randn(size, width, generator=generator, dtype=torch.float64) * scale

    lengths = torch.randint(1, width + 1, (size,), generator=generator)
    mask = torch.arange(width) < lengths[:, None]
    old = -normal(1.0).abs() * mask
    return {
        "log_probs": ((old + normal(0.6)) * mask).requires_grad_(),
        "old_log_probs": old,
        "advantages": normal(1.0) * mask,
        "action_mask": mask,
        "rollout_log_probs": (old + normal(0.3)) * mask,
        "lengths": lengths.tolist(),
        "entropies": normal(1.0).abs() + 0.01,
    }


def call(loss_fn: nn.Module, batch: dict[str, Any], **changes: Any) -> tuple[Tensor, Tensor, tuple]:
    """Loss, its gradient with respect to log_probs, and the other returned values."""
    loss, *rest = loss_fn(**{name: batch[name] for name in INPUTS} | changes)
    (gradient,) = torch.autograd.grad(loss, batch["log_probs"])
    return loss.detach(), gradient, tuple(rest)


def weights_of(batch: dict[str, Any], mean: str) -> Tensor:
    entropy = masked_mean(batch["entropies"], batch["action_mask"], dim=-1)
    return relative_entropy_weights(entropy, torch.tensor(batch["lengths"]), mean)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "token_mean"), LOSS_KINDS)
@pytest.mark.parametrize("dual_clip", [None, 1.5])
@pytest.mark.parametrize("mean", ["sequence", "token"])
def test_equals_the_literal_formula(kind: str, token_mean: bool, dual_clip: float | None, mean: str) -> None:
    loss_fn = WeightedPolicyLoss(*EPS, dual_clip=dual_clip, token_level_loss=token_mean, policy_loss_type=kind)
    for seed in range(5):
        batch = make_batch(seed)
        tokens = [batch["entropies"][i, :length].tolist() for i, length in enumerate(batch["lengths"])]
        inputs = [batch[name] for name in ("log_probs", "old_log_probs", "advantages", "lengths")]
        literal = reference.weights(tokens, mean)
        expected = reference.loss(*inputs, literal, EPS, dual_clip, token_mean, gspo=kind == "gspo")
        (expected_gradient,) = torch.autograd.grad(expected, batch["log_probs"])
        loss, gradient, _ = call(loss_fn, batch, weights=weights_of(batch, mean))
        torch.testing.assert_close(loss, expected.detach())
        torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize(
    ("kind", "dual_clip", "correction"), list(product(LOSS_KINDS, [None, 2.0], [{}, *CORRECTIONS]))
)
@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), weights=st.lists(st.floats(1e-3, 5.0) | st.just(0.0), min_size=6, max_size=6))
def test_a_weight_multiplies_all_of_a_sequences_loss(
    kind: tuple[str, bool], dual_clip: float | None, correction: dict[str, Any], seed: int, weights: list[float]
) -> None:
    """Of OpenRLHF's own loss, sequence by sequence, whatever else its options ask for."""
    options = {f"is_correction_{name}": value for name, value in correction.items()}
    options |= {"dual_clip": dual_clip, "policy_loss_type": kind[0], "token_level_loss": kind[1]}
    batch, w = make_batch(seed), torch.tensor(weights, dtype=torch.float64)
    totals = {"dp_size": 1, "batch_num_tokens": sum(batch["lengths"]), "global_batch_size": len(w)}
    loss, gradient, _ = call(WeightedPolicyLoss(*EPS, **options), batch, weights=w, **totals)
    plain, expected = PolicyLoss(*EPS, **options), torch.zeros((), dtype=torch.float64)
    for row, weight in enumerate(w):
        inputs = {name: batch[name][row : row + 1] for name in INPUTS}
        expected = expected + weight * plain(**inputs, **totals)[0]
    (expected_gradient,) = torch.autograd.grad(expected, batch["log_probs"])
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize(("token_mean", "mean"), [(True, "token"), (False, "sequence")])
@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_average_weight_in_the_loss_is_one(token_mean: bool, mean: str, seed: int) -> None:
    """With ratio 1 and advantage 1 everywhere the objective is the average weight."""
    batch = make_batch(seed)
    changes = {"old_log_probs": batch["log_probs"].detach(), "advantages": torch.ones_like(batch["advantages"])}
    loss_fn = WeightedPolicyLoss(*EPS, token_level_loss=token_mean)
    loss, *_ = call(loss_fn, batch, weights=weights_of(batch, mean), **changes)
    assert loss.item() == pytest.approx(-1, abs=1e-12)


@pytest.mark.parametrize(("kind", "token_mean"), LOSS_KINDS)
def test_parts_of_a_batch_sum_to_the_whole(kind: str, token_mean: bool) -> None:
    """Two ranks, gradients averaged over them, global totals given: the loss of the undivided batch."""
    loss_fn = WeightedPolicyLoss(*EPS, token_level_loss=token_mean, policy_loss_type=kind)
    batch = make_batch(3)
    weights = weights_of(batch, "sequence")
    whole, *_ = call(loss_fn, batch, weights=weights)
    totals = {"dp_size": 2, "batch_num_tokens": sum(batch["lengths"]), "global_batch_size": 6}
    parts = []
    for rows in (slice(0, 2), slice(2, 6)):
        inputs = {n: batch[n][rows] for n in ("log_probs", "old_log_probs", "advantages", "action_mask")}
        parts.append(loss_fn(**inputs, weights=weights[rows], **totals)[0])
    torch.testing.assert_close(sum(parts).detach() / 2, whole)


def test_no_gradient_flows_into_the_weights() -> None:
    batch, weights = make_batch(0), torch.ones(6, dtype=torch.float64, requires_grad=True)
    loss, *_ = WeightedPolicyLoss()(**{name: batch[name] for name in INPUTS}, weights=weights)
    assert torch.autograd.grad(loss, weights, allow_unused=True) == (None,)


def test_weights_of_one_and_no_weights_are_openrlhfs_loss() -> None:
    batch = make_batch(11)
    plain, weighted = PolicyLoss(*EPS), WeightedPolicyLoss(*EPS)
    expected = call(plain, batch)
    for actual in (call(weighted, batch), call(weighted, batch, weights=torch.ones(6))):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_weighted_advantages_keep_their_type() -> None:
    advantages = torch.tensor([[1.0, -2.0], [3.0, 0.0]], dtype=torch.float32)
    result = weighted_advantages(advantages, torch.tensor([0.5, 2.0], dtype=torch.float64))
    torch.testing.assert_close(result, torch.tensor([[0.5, -1.0], [6.0, 0.0]]), rtol=0, atol=0)
