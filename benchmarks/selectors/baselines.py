"""Baselines of a prompt's rollouts compared without sampling: on a bandit whose every outcome is enumerated.

    python benchmarks/selectors/baselines.py

The policy is a softmax over arms, a rollout an arm, and a group n of them; a group's update is the mean of A_i g_i,
with g_i the gradient of the log-probability of rollout i. All (arms)^n groups are enumerated, so expectation and
variance of the update are exact. Printed as a table of Markdown. Boundary: torch, and the formulas of the estimators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from prepo_rlhf.algorithm.posterior_baseline import posterior_advantages, posterior_mean

Estimator = Callable[[Tensor], Tensor]
"""Rewards [G, n] of G groups of one prompt -> advantages [G, n]."""


def group_mean(rewards: Tensor) -> Tensor:
    """Without a scale, as Dr. GRPO (arXiv 2503.20783)."""
    return rewards - rewards.mean(-1, keepdim=True)


def group_norm(rewards: Tensor) -> Tensor:
    """GRPO's (arXiv 2402.03300): over the deviation of the sample; 0 where all rewards are equal."""
    return group_mean(rewards) / (rewards.std(-1, keepdim=True) + 1e-9)


def rloo(rewards: Tensor) -> Tensor:
    """Relative to the mean of the others (arXiv 2402.14740)."""
    n = rewards.shape[-1]
    return rewards - (rewards.sum(-1, keepdim=True) - rewards) / (n - 1)


def posterior(p: float, m: float, scaled: bool = True) -> Estimator:
    """This project's, for a prediction p that counts as m rollouts."""

    def advantages(rewards: Tensor) -> Tensor:
        mean = torch.full((len(rewards),), p, dtype=torch.float64)
        prediction = mean, mean * (1 - mean) / (m + 1)
        if scaled:
            return posterior_advantages(rewards, *prediction)
        return rewards - posterior_mean(rewards, *prediction)[:, None]

    return advantages


def aero(rewards: Tensor) -> Tensor:
    """AERO's form (arXiv 2602.14338), of which the abstract was read: a Bayesian posterior in the baseline. Prior and
    scale are our guess: the uniform Beta(1, 1), none."""
    return posterior(0.5, 2.0, scaled=False)(rewards)


ESTIMATORS: dict[str, Callable[[float], Estimator]] = {  # of a prediction
    "group_norm": lambda p: group_norm,
    "rloo": lambda p: rloo,
    "AERO's form": lambda p: aero,
    **{f"posterior, m = {m}": lambda p, m=m: posterior(p, float(m)) for m in (1, 4, 16)},
}


class Bandit:
    """A prompt as a bandit: `rewards` of the arms, of which the policy takes n by their logits."""

    def __init__(self, logits: Sequence[float], rewards: Sequence[float], n: int) -> None:
        self.logits = torch.tensor(logits, dtype=torch.float64)
        self.rewards = torch.tensor(rewards, dtype=torch.float64)
        self.n = n
        policy = self.logits.softmax(0)
        arms = torch.cartesian_prod(*[torch.arange(len(rewards))] * n).reshape(-1, n)
        self._chances = policy[arms].prod(-1)
        self._scores = torch.eye(len(rewards), dtype=torch.float64)[arms] - policy  # g_i [G, n, arms]
        self.group_rewards = self.rewards[arms]
        self.pass_rate = float(policy @ self.rewards)
        self.gradient = policy * (self.rewards - self.pass_rate)

    @classmethod
    def of_pass_rate(cls, t: float, n: int) -> Bandit:
        """Two right arms and two wrong ones, of which one is taken three times as often as the other."""
        shares = (0.75 * t, 0.25 * t, 0.75 * (1 - t), 0.25 * (1 - t))
        return cls([math.log(share) for share in shares], (1.0, 1.0, 0.0, 0.0), n)

    def expectation(self, estimator: Estimator) -> Tensor:
        """The mean update, [arms]."""
        return self._chances @ self._updates(estimator)

    def noise(self, estimator: Estimator) -> float:
        """The variance of a group's update, over the squared length of its mean: so many groups have to be averaged for
        signal and noise to be equal."""
        mean = self.expectation(estimator)
        variance = self._chances @ (self._updates(estimator) - mean).square().sum(-1)
        return float(variance / mean.square().sum())

    def length(self, estimator: Estimator) -> float:
        """The mean update along the gradient, in gradients."""
        return float(self.expectation(estimator) @ self.gradient / self.gradient.square().sum())

    def cosine(self, estimator: Estimator) -> float:
        """Of the angle between mean update and gradient."""
        return float(torch.cosine_similarity(self.expectation(estimator), self.gradient, dim=0))

    def _updates(self, estimator: Estimator) -> Tensor:
        return (estimator(self.group_rewards)[..., None] * self._scores).mean(1)


def main() -> None:
    """Print noise and length by pass rate; the last columns are of a prediction that is wrong."""
    n, cases = 6, ((0.02, 0.02), (0.1, 0.1), (0.5, 0.5), (0.1, 0.4), (0.4, 0.1))
    print(f"| n = {n} | " + " | ".join(f"t = {t}, p = {p}" for t, p in cases) + " |")
    print("| --- |" + " --- |" * len(cases))
    for name, make in ESTIMATORS.items():
        cells = []
        for t, p in cases:
            bandit, estimator = Bandit.of_pass_rate(t, n), make(p)
            cells.append(f"{bandit.noise(estimator):.2f}, {bandit.length(estimator) * math.sqrt(t * (1 - t)):.2f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
