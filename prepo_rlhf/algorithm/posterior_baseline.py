"""The posterior mean of a prompt's pass rate as the baseline of its rollouts (this project's).

A group's own mean reward is a poor baseline where n is small, and no baseline at all where all rewards are equal: then
group-normalised advantages are 0. A selector that predicts pass rates knows more than the group: before its rollouts it
had a mean p and a variance v for the pass rate t of the prompt. With the Beta distribution of that mean and variance as
the prior,

    t ~ Beta(m p, m (1 - p)),    v = p (1 - p) / (m + 1),    so    m = p (1 - p) / v - 1,

the n rollouts, of mean reward r, make it Beta(m p + n r, m (1 - p) + n (1 - r)), whose mean is the baseline:

    b = (n r + m p) / (n + m),    A_i = (r_i - b) / max(f, sqrt(b (1 - b))).

The prediction counts as m rollouts. A sure one outweighs the group, one that knows nothing (v near p (1 - p), m near 0)
leaves the group's mean. The scale is the standard deviation of a reward of 0 or 1 whose rate of success is b; for
rewards between, which this takes as well, it is the largest that their mean allows.

Exact, with g_i the gradient of the log-probability of rollout i, and G that of the expected reward, G = E[r_i g_i]:

- Without the scale the direction is right, whatever was predicted. b holds the rollout's own reward, as group_norm's
  baseline does, and E[b g_i] = G / (n + m), since g_i has mean 0 and is independent of the other rollouts. So
  E[(r_i - b) g_i] = (1 - 1 / (n + m)) G. The reason: r_i - b = (1 - 1 / (n + m)) (r_i - b_i), where b_i is the
  posterior mean after the other n - 1 rollouts, a baseline that does not know r_i. m = 0 is the group's mean, with its
  1 - 1 / n; m without bound is unbiased.
- With the scale, rewards of 0 and 1 keep the direction. Given all rewards, E[g_i] is G / t for a rollout of reward 1
  and -G / (1 - t) for one of 0, and the advantages are a function of the rewards; so a prompt's expected step is c G,
  c > 0. The bias is in c alone, which is how much a prompt counts beside the others. With a prediction that is right
  and sure (m without bound, p = t) c is 1 / sqrt(t (1 - t)), so that all prompts together climb the sum of
  2 arcsin(sqrt(t)). So does group_norm for large n. For few rollouts c falls below that towards either end of t,
  group_norm's the more, as most groups there are of equal rewards: by the factor (n - 1) / sqrt(n (n + m - 1)) in the
  limit, above the floor.
- Rewards between 0 and 1 are not promised the direction: the scale depends on what the rollout itself has earned.

n = 1 works: the baseline is mostly the prediction.

Boundary: torch only; who predicts, and where the numbers come from, is for the caller.
"""

from __future__ import annotations

import torch
from torch import Tensor

# So no advantage is beyond 10, the default of `--reward.clip_range`; below 0.01 and above 0.99 b amplifies no more.
SMALLEST_SCALE = 0.1


def prior_rollouts(mean: Tensor, variance: Tensor) -> Tensor:
    """m, the rollouts that a prediction counts as: those of the Beta distribution with its mean and variance.

    Args:
        mean: [...] p of the pass rate, in (0, 1).
        variance: [...] of the pass rate, in [0, p (1 - p)].

    Returns:
        [...] from 0, for a prediction that could not be less sure, to infinity for a variance of 0.
    """
    return (mean * (1 - mean) / variance - 1).clamp_min(0.0)


def posterior_mean(rewards: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """b = (n r + m p) / (n + m) of each group.

    Args:
        rewards: [P, n] of the rollouts of P prompts, in [0, 1].
        mean: [P] p, predicted before the rollouts, in (0, 1).
        variance: [P] of that prediction, in [0, p (1 - p)].

    Returns:
        [P] in [0, 1].
    """
    n = rewards.shape[-1]
    share = n / (n + prior_rollouts(mean, variance))  # of the group; 0 for a prediction of variance 0
    return torch.lerp(mean, rewards.mean(-1), share)


def posterior_advantages(rewards: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """A_i = (r_i - b) / max(f, sqrt(b (1 - b))), with f = SMALLEST_SCALE; arguments as of `posterior_mean`.

    Returns:
        [P, n], in the type of `rewards`.
    """
    baseline = posterior_mean(rewards, mean, variance)[..., None]
    scale = (baseline * (1 - baseline)).clamp_min(SMALLEST_SCALE**2).sqrt()
    return (rewards - baseline) / scale
