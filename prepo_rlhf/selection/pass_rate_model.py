"""A Bayesian logistic model of pass rates: coefficients that all prompts share, and an offset of each prompt's own.

The logit of prompt i's pass rate is f_i . w + b_i, with features f_i, coefficients w ~ N(mean, precision^-1) and
offsets b_i ~ N(m_i, v_i) that are independent of each other and of w. A group of n rollouts is n Bernoulli trials.

Boundary: torch only; numbers, no prompts. All tensors are float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_STEPS = 100
TOLERANCE = 1e-8
# The curvature of the likelihood changes by a factor of at most e where no logit moves by more than 1: small enough
# for each Newton step to be an improvement, from whatever start.
LARGEST_MOVE = 1.0


@dataclass(frozen=True)
class Coefficients:
    """N(mean, precision^-1): mean [D], precision [D, D]."""

    mean: Tensor
    precision: Tensor

    def discounted(self, memory: float, floor: Tensor) -> Coefficients:
        """With a share `memory` of the evidence beyond the precision `floor` [D, D], to which it returns in time."""
        return Coefficients(self.mean, memory * self.precision + (1 - memory) * floor)

    def variance(self, features: Tensor) -> Tensor:
        """[N] of f . w, for features f [N, D]."""
        return (features * torch.linalg.solve(self.precision, features.T).T).sum(dim=-1)

    def sample(self, generator: torch.Generator) -> Tensor:
        """A sample [D]: with precision = L L^T and e ~ N(0, 1), mean + L^-T e has the right covariance."""
        noise = torch.randn(len(self.mean), 1, dtype=torch.float64, generator=generator)
        lower = torch.linalg.cholesky(self.precision)
        return self.mean + torch.linalg.solve_triangular(lower.T, noise, upper=True).squeeze(1)


@dataclass(frozen=True)
class Offsets:
    """N(mean, variance) of each of N prompts, both [N]."""

    mean: Tensor
    variance: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        """A sample [N]."""
        noise = torch.randn(len(self.mean), dtype=torch.float64, generator=generator)
        return self.mean + self.variance.sqrt() * noise


def pass_rate_moments(logits: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance, [N] each, of sigmoid(x) for x ~ N(logits, variance).

    By the trapezoidal rule over 8 standard deviations to either side. Its error falls exponentially in the number of
    points, as the poles of the sigmoid are off the real line: below 1e-9 for variances up to 100.
    """
    noise = torch.linspace(-8, 8, 257, dtype=torch.float64)
    density = (-noise.square() / 2).softmax(dim=0)
    rates = torch.sigmoid(logits[:, None] + variance.sqrt()[:, None] * noise)
    mean = rates @ density
    return mean, (rates - mean[:, None]).square() @ density


def laplace_update(
    coefficients: Coefficients, offsets: Offsets, features: Tensor, right: Tensor, trials: Tensor
) -> tuple[Coefficients, Offsets]:
    """The posterior after N groups, as the Gaussian at its mode; found by Newton's method on w and all b_i at once.

    The offsets are eliminated from each step: with u = n p (1 - p), a group's information about w is u / (1 + u v),
    which no number of rollouts brings above 1 / v. What is kept of the offsets is their posterior given w, so that
    they stay independent.

    Args:
        coefficients: the prior of w.
        offsets: the priors of the groups' prompts.
        features: [N, D].
        right: [N] rollouts that were right.
        trials: [N] rollouts.
    """
    w, b = coefficients.mean, offsets.mean
    precision, own_precision = coefficients.precision, 1 / offsets.variance
    for _ in range(MAX_STEPS):
        p = torch.sigmoid(features @ w + b)
        curvature = trials * p * (1 - p)
        information = curvature / (1 + curvature * offsets.variance)
        precision = coefficients.precision + features.T @ (information[:, None] * features)
        own_precision = curvature + 1 / offsets.variance
        slope_b = right - trials * p - (b - offsets.mean) / offsets.variance
        slope_w = features.T @ (right - trials * p) - coefficients.precision @ (w - coefficients.mean)
        step_w = torch.linalg.solve(precision, slope_w - features.T @ (curvature / own_precision * slope_b))
        step_b = (slope_b - curvature * (features @ step_w)) / own_precision
        move = (features @ step_w + step_b).abs().max().item()
        scale = min(1.0, LARGEST_MOVE / move) if move > 0 else 1.0
        w, b = w + scale * step_w, b + scale * step_b
        if move < TOLERANCE:
            break
    return Coefficients(w, precision), Offsets(b, 1 / own_precision)
