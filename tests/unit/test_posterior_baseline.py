"""The posterior baseline against its formula in loops, and on a bandit whose every outcome is enumerated."""

from __future__ import annotations

import math

import pytest
import reference
import torch
from baselines import Bandit, Estimator, aero, group_mean, group_norm, posterior, rloo
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from prepo_rlhf.algorithm.learning_signal import teaches
from prepo_rlhf.algorithm.posterior_baseline import (
    SMALLEST_SCALE,
    posterior_advantages,
    posterior_mean,
    prior_rollouts,
)


def tensor(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(
    groups=st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(st.floats(0, 1), min_size=n, max_size=n), min_size=1, max_size=4)
    ),
    p=st.floats(0.001, 0.999),
    spread=st.floats(1e-6, 1.0),
)
def test_against_the_formula_in_loops(groups: list[list[float]], p: float, spread: float) -> None:
    variance = spread * p * (1 - p)
    moments = tensor([p] * len(groups)), tensor([variance] * len(groups))
    expected = [reference.relative_to_posterior(rewards, p, variance, SMALLEST_SCALE) for rewards in groups]
    torch.testing.assert_close(posterior_advantages(tensor(groups), *moments), tensor(expected))


def test_m_is_the_size_of_the_beta_distribution() -> None:
    for a, b in ((1.0, 1.0), (0.3, 2.0), (40.0, 2.5)):
        mean, variance = a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1))
        assert prior_rollouts(tensor([mean]), tensor([variance])).item() == pytest.approx(a + b)
        # Conjugate: 3 of 5 rollouts right make it Beta(a + 3, b + 2).
        rewards = tensor([[1, 1, 0, 1, 0]])
        b_of_5 = posterior_mean(rewards, tensor([mean]), tensor([variance])).item()
        assert b_of_5 == pytest.approx((a + 3) / (a + b + 5))


def test_the_ends_of_certainty() -> None:
    """A variance of 0 is the prediction alone; the largest that there can be, the group's mean alone."""
    rewards = tensor([[1, 0, 0, 0]])
    assert posterior_mean(rewards, tensor([0.6]), tensor([0.0])).item() == 0.6
    assert posterior_mean(rewards, tensor([0.6]), tensor([0.24])).item() == pytest.approx(0.25)
    for equal in (0.0, 1.0):  # no division by 0, and nothing to learn from a group whose own mean is the baseline
        assert not posterior_advantages(tensor([[equal] * 4]), tensor([0.6]), tensor([0.24])).abs().gt(1e-9).any()


@pytest.mark.parametrize(("n", "right"), [(1, 0), (1, 1), (8, 0), (8, 8)])
def test_equal_rewards_teach_a_little(n: int, right: int) -> None:
    """Also a single rollout: towards what was right, away from what was wrong, the less the surer it was expected."""
    rewards = tensor([[1.0] * right + [0.0] * (n - right)])
    size = {}
    for p in (0.1, 0.9):
        advantages = posterior_advantages(rewards, tensor([p]), tensor([p * (1 - p) / 9]))
        assert (advantages > 0).all() if right else (advantages < 0).all()
        mask = torch.ones(1, n)
        assert teaches(advantages, mask, torch.ones(1)).all()
        size[p] = advantages.abs().max().item()
    expected, surprising = (size[0.9], size[0.1]) if right else (size[0.1], size[0.9])
    assert expected < surprising


def test_no_advantage_is_beyond_ten() -> None:
    moments = tensor([1e-6]), tensor([0.0])
    assert posterior_advantages(tensor([[1, 0]]), *moments)[0, 0].item() == pytest.approx(10, rel=1e-4)


# The bandit: no sampling, so what theory says is met to rounding.

ZERO_ONE = Bandit(logits=(0.3, -1.2, 0.8, -0.4), rewards=(1.0, 0.0, 0.0, 1.0), n=4)
GRADED = Bandit(logits=(0.3, -1.2, 0.8, -0.4), rewards=(1.0, 0.0, 0.25, 0.8), n=4)
PREDICTIONS = [(p, m) for p in (0.03, 0.5, 0.9) for m in (0.0, 1.0, 4.0, 60.0)]


@pytest.mark.parametrize("bandit", [ZERO_ONE, GRADED], ids=["0 or 1", "graded"])
def test_the_gradient_of_the_bandit_is_the_derivative(bandit: Bandit) -> None:
    logits = bandit.logits.clone().requires_grad_()
    (logits.softmax(0) @ bandit.rewards).backward()
    torch.testing.assert_close(bandit.gradient, logits.grad)


@pytest.mark.parametrize("bandit", [ZERO_ONE, GRADED], ids=["0 or 1", "graded"])
def test_without_the_scale_the_expectation_is_the_gradient_times_a_constant(bandit: Bandit) -> None:
    """1 - 1 / (n + m) whatever was predicted; rloo's is 1, and the group mean's that of m = 0."""
    torch.testing.assert_close(bandit.expectation(rloo), bandit.gradient)
    torch.testing.assert_close(bandit.expectation(group_mean), (1 - 1 / bandit.n) * bandit.gradient)
    torch.testing.assert_close(bandit.expectation(aero), (1 - 1 / (bandit.n + 2)) * bandit.gradient)
    for p, m in PREDICTIONS:
        update = bandit.expectation(posterior(p, m, scaled=False))
        torch.testing.assert_close(update, (1 - 1 / (bandit.n + m)) * bandit.gradient)


def test_it_is_the_leave_one_out_posterior_times_that_constant() -> None:
    rewards, n, p, m = GRADED.group_rewards, GRADED.n, 0.2, 3.0
    of_the_others = (rewards.sum(-1, keepdim=True) - rewards + m * p) / (n - 1 + m)
    torch.testing.assert_close(posterior(p, m, scaled=False)(rewards), (1 - 1 / (n + m)) * (rewards - of_the_others))


@pytest.mark.parametrize("estimator", [group_norm, *(posterior(p, m) for p, m in PREDICTIONS)])
def test_with_the_scale_rewards_of_0_and_1_keep_the_direction(estimator: Estimator) -> None:
    """The length is that of the docstring: from the advantages of right and wrong rollouts given how many are right."""
    update, t, n = ZERO_ONE.expectation(estimator), ZERO_ONE.pass_rate, ZERO_ONE.n
    length = 0.0
    for k in range(n + 1):
        advantages = estimator(tensor([[1.0] * k + [0.0] * (n - k)]))[0]
        given_k = advantages[:k].sum() / t - advantages[k:].sum() / (1 - t)
        length += math.comb(n, k) * t**k * (1 - t) ** (n - k) * given_k.item() / n
    assert length > 0
    torch.testing.assert_close(update, length * ZERO_ONE.gradient)


def test_a_sure_and_right_prediction_climbs_the_arcsine_of_the_root() -> None:
    t = ZERO_ONE.pass_rate
    update = ZERO_ONE.expectation(posterior(t, math.inf))
    torch.testing.assert_close(update, ZERO_ONE.gradient / math.sqrt(t * (1 - t)))


def test_graded_rewards_lose_the_direction_by_the_scale_alone() -> None:
    """By a little: said in the docstring, and so of group_norm."""
    for estimator in (group_norm, posterior(0.5, 4.0)):
        assert 1e-6 < 1 - GRADED.cosine(estimator) < 0.01


@pytest.mark.parametrize("t", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("n", [2, 4, 6])
def test_less_noise_than_group_norm_where_few_are_right_and_the_prediction_holds(t: float, n: int) -> None:
    """And than rloo, over the squared length of the mean update; without bound on m, that of a known pass rate."""
    bandit = Bandit.of_pass_rate(t, n)
    for m in (1.0, 4.0, 16.0, 64.0):
        assert bandit.noise(posterior(t, m)) < min(bandit.noise(group_norm), bandit.noise(rloo))
    assert bandit.noise(posterior(t, math.inf)) == pytest.approx(bandit.noise(lambda rewards: rewards - t))


@pytest.mark.parametrize("t", [0.001, 0.02, 0.1])
def test_prompts_that_few_rollouts_solve_count_more_than_with_group_norm(t: float) -> None:
    """Beside a half-solved one, of its share by the arcsine; in the limit by a factor that is known."""
    n, m = 4, 16.0
    rare, half = Bandit.of_pass_rate(t, n), Bandit.of_pass_rate(0.5, n)
    kept = rare.length(posterior(t, m)) / half.length(posterior(0.5, m))
    assert kept > rare.length(group_norm) / half.length(group_norm)
    if t == 0.001:
        limit = math.sqrt((n + m - 1) * n) / (n - 1)
        assert rare.length(posterior(t, m)) / rare.length(group_norm) == pytest.approx(limit, rel=0.05)
