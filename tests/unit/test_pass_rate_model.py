"""The Bayesian logistic model against plain optimisation and integration."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from prepo_rlhf.selection.pass_rate_model import (
    Coefficients,
    Offsets,
    laplace_update,
    pass_rate_moments,
)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def problem(seed: int, n: int, scale: float) -> tuple[Coefficients, Offsets, Tensor, Tensor, Tensor]:
    """Priors of 3 coefficients and n offsets, features, right, trials; all from a seed."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    root = normal(3, 3)
    coefficients = Coefficients(scale * normal(3), root @ root.T + 0.1 * torch.eye(3, dtype=torch.float64))
    offsets = Offsets(scale * normal(n), 0.1 + normal(n).square())
    trials = torch.randint(1, 17, (n,), generator=generator).double()
    right = (trials * torch.rand(n, generator=generator, dtype=torch.float64)).round()
    return coefficients, offsets, scale * normal(n, 3), right, trials


def negative_log_posterior(
    both: Tensor, coefficients: Coefficients, offsets: Offsets, x: Tensor, y: Tensor, n: Tensor
) -> Tensor:
    """Written out, for w and b in one vector."""
    w, b = both[:3], both[3:]
    logits = x @ w + b
    likelihood = y @ torch.nn.functional.logsigmoid(logits) + (n - y) @ torch.nn.functional.logsigmoid(-logits)
    prior_w = (w - coefficients.mean) @ coefficients.precision @ (w - coefficients.mean) / 2
    return prior_w + ((b - offsets.mean) ** 2 / offsets.variance).sum() / 2 - likelihood


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 12), scale=st.sampled_from([0.3, 1.0, 2.5]))
def test_the_update_is_the_mode_and_its_curvature(seed: int, n: int, scale: float) -> None:
    """Also from logits in the twenties, where Newton's method alone would not arrive."""
    coefficients, offsets, x, y, trials = problem(seed, n, scale)
    w, b = laplace_update(coefficients, offsets, x, y, trials)
    mode = torch.cat([w.mean, b.mean])

    def loss(both: Tensor) -> Tensor:
        return negative_log_posterior(both, coefficients, offsets, x, y, trials)

    gradient = torch.autograd.functional.jacobian(loss, mode)
    assert gradient.abs().max() < 1e-5
    hessian = torch.autograd.functional.hessian(loss, mode)
    assert torch.allclose(w.precision, torch.linalg.inv(torch.linalg.inv(hessian)[:3, :3]), rtol=1e-5)
    assert torch.allclose(b.variance, 1 / hessian.diagonal()[3:], rtol=1e-5)


def test_a_group_says_no_more_of_the_coefficients_than_the_scatter_of_prompts_allows() -> None:
    prior = Coefficients(tensor(0.0), torch.eye(1, dtype=torch.float64))
    ones, unknown, known = torch.ones(1, 1, dtype=torch.float64), tensor(2.0), tensor(1e-9)
    million = tensor(1e6)
    vague, _ = laplace_update(prior, Offsets(tensor(0.0), unknown), ones, million / 2, million)
    sharp, _ = laplace_update(prior, Offsets(tensor(0.0), known), ones, million / 2, million)
    assert vague.precision.item() == pytest.approx(1 + 1 / 2, rel=1e-4)
    assert sharp.precision.item() == pytest.approx(1 + 1e6 / 4, rel=1e-3)


def test_discounting_returns_to_the_floor_and_keeps_the_mean() -> None:
    floor = torch.eye(2, dtype=torch.float64) / 4
    coefficients = Coefficients(tensor(1.0, 2.0), floor + 8 * torch.eye(2, dtype=torch.float64))
    assert torch.allclose(coefficients.discounted(0.5, floor).precision, floor + 4 * torch.eye(2, dtype=torch.float64))
    for _ in range(60):
        coefficients = coefficients.discounted(0.5, floor)
    assert torch.allclose(coefficients.precision, floor)
    assert coefficients.mean.tolist() == [1.0, 2.0]


def test_draws_have_the_mean_and_covariance() -> None:
    precision = torch.tensor([[2.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    coefficients = Coefficients(tensor(1.0, -3.0), precision)
    draws = torch.stack([coefficients.sample(generator) for _ in range(8000)])
    assert torch.allclose(draws.mean(0), coefficients.mean, atol=0.06)
    assert torch.allclose(draws.T.cov(), torch.linalg.inv(precision), atol=0.08)


@pytest.mark.parametrize("logit", [-30.0, -4.0, -1.0, 0.0, 0.5, 3.0])
@pytest.mark.parametrize("variance", [0.0, 0.3, 2.25, 6.0, 100.0])
def test_the_moments_against_integration(logit: float, variance: float) -> None:
    e = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    p = torch.sigmoid(logit + math.sqrt(variance) * e)
    density = torch.exp(-(e**2) / 2)
    mean = (p * density).sum() / density.sum()
    spread = ((p - mean) ** 2 * density).sum() / density.sum()
    moments = pass_rate_moments(tensor(logit), tensor(variance))
    assert [moment.item() for moment in moments] == pytest.approx([mean.item(), spread.item()], abs=1e-9)


def test_the_variance_of_the_regression() -> None:
    coefficients, _, features, *_ = problem(seed=3, n=5, scale=1.0)
    covariance = torch.linalg.inv(coefficients.precision)
    assert torch.allclose(coefficients.variance(features), torch.stack([f @ covariance @ f for f in features]))
