"""Success rates that change during training: what counts as a success, and discounted Beta posteriors."""

from __future__ import annotations

import torch
from torch import Tensor

from prepo_rlhf.selection.base import PromptOutcome


def num_right(outcome: PromptOutcome) -> int:
    """How many of a prompt's rollouts were right: those with a score of 1 or more."""
    return sum(reward >= 1 for reward in outcome.rewards)


def discounted_update(posterior: Tensor, evidence: Tensor, decay: float) -> Tensor:
    """The posterior after new evidence, with older evidence multiplied by `decay`.

    With the uniform prior Beta(1, 1) a posterior (a, b) holds the evidence (a - 1, b - 1). That is what decays, so
    whatever is observed no more returns to the prior, and a and b stay 1 or more.

    Args:
        posterior: [..., 2] a and b of Beta distributions.
        evidence: [..., 2] new successes and failures, also fractional.
        decay: the discount factor, in [0, 1]; with 1 nothing is discounted.
    """
    return 1 + decay * (posterior - 1) + evidence


def beta_moments(posterior: Tensor) -> tuple[Tensor, Tensor]:
    """Mean a / (a + b) and variance a b / ((a + b)^2 (a + b + 1)), each [...], of Betas [..., 2]."""
    evidence = posterior.sum(-1)
    mean = posterior[..., 0] / evidence
    return mean, mean * (1 - mean) / (evidence + 1)


def sample_beta(posterior: Tensor, generator: torch.Generator) -> Tensor:
    """One draw from each Beta: x / (x + y) with x ~ Gamma(a) and y ~ Gamma(b).

    Args:
        posterior: [..., 2] float, a and b.

    Returns:
        [...] rates in [0, 1].
    """
    # torch.distributions draws from the global random state only; this is what it calls.
    gammas = torch._standard_gamma(posterior, generator=generator)
    return gammas[..., 0] / gammas.sum(-1)
