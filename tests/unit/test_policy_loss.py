"""The weighted objective against its literal transcription, against weighted advantages, and against OpenRLHF's."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from prepo_rlhf.algorithm import ImportanceCorrection, PolicyLoss, relative_entropy_weights
from prepo_rlhf.algorithm.masked import masked_mean

EPS = (0.2, 0.28)
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
    names = ("log_probs", "old_log_probs", "advantages", "action_mask", "rollout_log_probs")
    loss, *rest = loss_fn(**{name: batch[name] for name in names} | changes)
    (gradient,) = torch.autograd.grad(loss, batch["log_probs"])
    return loss.detach(), gradient, tuple(rest)


def weights_of(batch: dict[str, Any], mean: str) -> Tensor:
    entropy = masked_mean(batch["entropies"], batch["action_mask"], dim=-1)
    return relative_entropy_weights(entropy, torch.tensor(batch["lengths"]), mean)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "token_mean"), LOSS_KINDS)
@pytest.mark.parametrize("dual_clip", [None, 1.5])
@pytest.mark.parametrize("mean", ["sequence", "token"])
def test_equals_the_literal_formula(kind: str, token_mean: bool, dual_clip: float | None, mean: str) -> None:
    loss_fn = PolicyLoss(*EPS, dual_clip=dual_clip, token_level_loss=token_mean, policy_loss_type=kind)
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


@pytest.mark.parametrize(("kind", "token_mean"), LOSS_KINDS)
@pytest.mark.parametrize("dual_clip", [None, 2.0])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), weights=st.lists(st.floats(1e-3, 5.0) | st.just(0.0), min_size=6, max_size=6))
def test_weights_equal_weighted_advantages(
    kind: str, token_mean: bool, dual_clip: float | None, seed: int, weights: list[float]
) -> None:
    loss_fn = PolicyLoss(*EPS, dual_clip=dual_clip, token_level_loss=token_mean, policy_loss_type=kind)
    batch, w = make_batch(seed), torch.tensor(weights, dtype=torch.float64)
    loss, gradient, _ = call(loss_fn, batch, weights=w)
    expected, expected_gradient, _ = call(loss_fn, batch, advantages=batch["advantages"] * w[:, None])
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize(("token_mean", "mean"), [(True, "token"), (False, "sequence")])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_average_weight_in_the_loss_is_one(token_mean: bool, mean: str, seed: int) -> None:
    """With ratio 1 and advantage 1 everywhere the objective is the average weight."""
    batch = make_batch(seed)
    changes = {"old_log_probs": batch["log_probs"].detach(), "advantages": torch.ones_like(batch["advantages"])}
    loss, *_ = call(PolicyLoss(*EPS, token_level_loss=token_mean), batch, weights=weights_of(batch, mean), **changes)
    assert loss.item() == pytest.approx(-1, abs=1e-12)


@pytest.mark.parametrize(("kind", "token_mean"), LOSS_KINDS)
def test_parts_of_a_batch_sum_to_the_whole(kind: str, token_mean: bool) -> None:
    """Two ranks, gradients averaged over them, global totals given: the loss of the undivided batch."""
    loss_fn = PolicyLoss(*EPS, token_level_loss=token_mean, policy_loss_type=kind)
    batch = make_batch(3)
    weights = weights_of(batch, "sequence")
    whole, *_ = call(loss_fn, batch, weights=weights)
    totals = {"dp_size": 2, "batch_num_tokens": sum(batch["lengths"]), "global_batch_size": 6}
    parts = []
    for rows in (slice(0, 2), slice(2, 6)):
        inputs = {n: batch[n][rows] for n in ("log_probs", "old_log_probs", "advantages", "action_mask")}
        parts.append(loss_fn(**inputs, weights=weights[rows], **totals)[0])
    torch.testing.assert_close(sum(parts).detach() / 2, whole)


def test_no_gradient_flows_into_the_weights_and_no_mask_means_all_tokens() -> None:
    batch = make_batch(0)
    inputs = (batch["log_probs"], batch["old_log_probs"], batch["advantages"])
    weights = torch.ones(6, requires_grad=True)
    loss, *_ = PolicyLoss()(*inputs, weights=weights)
    assert torch.autograd.grad(loss, weights, allow_unused=True) == (None,)
    torch.testing.assert_close(loss, PolicyLoss()(*inputs, torch.ones_like(batch["advantages"]))[0])


def test_binary_kl_is_of_the_rollout_policy_against_the_training_policy() -> None:
    """KL(0.9 || 0.5) = 0.37 is inside the band, KL(0.5 || 0.9) = 0.51 is not; the one kept weighs train/rollout."""
    correction = ImportanceCorrection("token", "mask", "binary_kl", (0.0, 0.45))
    train, rollout = torch.tensor([[0.5, 0.9]]).log(), torch.tensor([[0.9, 0.5]]).log()
    coefficient, share = correction(train, rollout, torch.ones(1, 2))
    torch.testing.assert_close(coefficient, torch.tensor([[0.5 / 0.9, 0.0]]))
    assert share.item() == 0.5


@pytest.mark.parametrize(
    "options",
    [
        {"policy_loss_type": "reinforce"},
        {"dual_clip": 1.0},
        {"is_correction_level": "word"},
        {"is_correction_mode": "drop"},
        {"is_correction_gating": "kl"},
        {"is_correction_mode": "clip", "is_correction_level": "seq"},
        {"is_correction_level": "token", "is_correction_gating": "tv"},
    ],
)
def test_refuses_options_without_a_meaning(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        PolicyLoss(**options)


@pytest.fixture(scope="module")
def openrlhf_loss() -> Iterator[type[nn.Module]]:
    """OpenRLHF's PolicyLoss, its file loaded without its package, which needs CUDA libraries to import."""
    spec = importlib.util.find_spec("openrlhf")
    if spec is None or spec.origin is None:
        pytest.skip("OpenRLHF is not installed")
    package = types.ModuleType("openrlhf_models")
    package.__path__ = [str(Path(spec.origin).parent / "models")]
    sys.modules[package.__name__] = package
    yield importlib.import_module("openrlhf_models.loss").PolicyLoss
    for name in [name for name in sys.modules if name.split(".")[0] == package.__name__]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("kind", "dual_clip", "correction", "totals"),
    list(
        product(
            LOSS_KINDS,
            [None, 1.5],
            [{}, *CORRECTIONS],
            [{}, {"dp_size": 2, "batch_num_tokens": 91.0, "global_batch_size": 12}],
        )
    ),
)
def test_without_weights_it_is_openrlhfs(
    openrlhf_loss: type[nn.Module],
    kind: tuple[str, bool],
    dual_clip: float | None,
    correction: dict[str, Any],
    totals: dict[str, Any],
) -> None:
    options = {
        "dual_clip": dual_clip,
        "policy_loss_type": kind[0],
        "token_level_loss": kind[1],
        **{f"is_correction_{name}": value for name, value in correction.items()},
    }
    batch = make_batch(11)
    if correction.get("level") != "seq":  # a sequence without tokens counts neither way; at "seq" theirs takes 0/0
        batch["action_mask"][2] = False
    ours = call(PolicyLoss(*EPS, **options), batch, **totals)
    theirs = call(openrlhf_loss(*EPS, **options), batch, **totals)
    torch.testing.assert_close(ours[:2], theirs[:2], rtol=1e-6, atol=1e-9)  # theirs divides by |o_i| + 1e-8
    for our_value, their_value in zip(ours[2], theirs[2], strict=True):
        if their_value is None:
            assert our_value is None
        else:
            torch.testing.assert_close(our_value, their_value, check_dtype=False)
