"""From rollouts to what the policy trains on: old log-probs, entropies, KL, advantages, weights.

OpenRLHF's experience maker without critic and reward model, plus the entropy that comes with the old log-probs
and the relative-entropy weights over the whole batch; an advantage estimator of our own, `posterior`; and groups of
different sizes.
Boundary: runs in the driver; log-probs come from the actors.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import ray
import torch
from openrlhf.models.utils import compute_approx_kl, compute_reward, masked_mean
from openrlhf.trainer.ppo_utils.experience import Experience
from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker
from openrlhf.trainer.ppo_utils.length_penalty import apply_length_penalties

from prepo_rlhf.algorithm.entropy_weights import relative_entropy_weights
from prepo_rlhf.algorithm.group_advantages import group_advantages
from prepo_rlhf.algorithm.posterior_baseline import posterior_advantages
from prepo_rlhf.ray.policy_actor import WEIGHT_KEY
from prepo_rlhf.rollout.predicted_groups import PREDICTION_KEY

ENTROPY_KEY = "mean_entropy"  # in Experience.info: each sequence's mean entropy, in nats


def sequence_advantages(experiences: list[Experience]) -> torch.Tensor:
    """[N] float64, the advantage of each sequence summed over its response tokens."""
    return torch.cat([(e.advantages.double() * e.action_mask).sum(-1) for e in experiences])


class ExperienceMaker(RemoteExperienceMaker):
    """Adds to each batch `info[ENTROPY_KEY]` and `info[WEIGHT_KEY]`, both (B,)."""

    @torch.no_grad()
    def make_experience_batch(
        self, rollout_samples: list[Experience], group_sizes: Sequence[int] | None = None
    ) -> list[Experience]:
        """Micro-batches of experience, ready for the policy's ranks; all of a step's rollouts at once.

        Args:
            rollout_samples: those of a prompt next to each other.
            group_sizes: how many each prompt has; None if all have `--rollout.n_samples_per_prompt`.
        """
        experiences = self.make_experience(self.split_rollout_samples(rollout_samples))
        experiences = self.compute_advantages_and_returns(experiences, group_sizes)
        self._weight(experiences)
        return experiences

    @torch.no_grad()
    def make_experience(self, samples_list: list[Experience]) -> list[Experience]:
        """Old log-probs and entropies of the policy, and the reference's log-probs if there is a KL term."""
        policy = self._forward(self.actor_model_group, samples_list)
        reference = [None] * len(samples_list)
        if self.initial_model_group is not None:
            reference = self._forward(self.initial_model_group, samples_list)
        for samples, (log_probs, entropy), base_log_probs in zip(samples_list, policy, reference, strict=True):
            samples.action_log_probs = log_probs
            samples.info[ENTROPY_KEY] = entropy
            self._attach_kl(samples, base_log_probs)
        return samples_list

    @torch.no_grad()
    def compute_advantages_and_returns(
        self, experiences: list[Experience], group_sizes: Sequence[int] | None = None
    ) -> list[Experience]:
        """OpenRLHF's and `posterior`, in float64, where group_norm's are exactly 0 in a group of equal rewards.

        In float32 the mean of 8 rewards of 0.1 is not 0.1, and the difference over a deviation of 0 is -7. OpenRLHF
        takes all groups to be of one size, so with `--prepo.allocation pilot` each is taken by itself.
        """
        for experience in experiences:
            experience.rewards = experience.rewards.double()
        if self.advantage_estimator == "posterior" or self.args.prepo.allocation == "pilot":
            self._take_groups_apart(experiences, group_sizes)
        else:
            experiences = super().compute_advantages_and_returns(experiences)
        for experience in experiences:
            experience.advantages, experience.returns = experience.advantages.float(), experience.returns.float()
        return experiences

    def _take_groups_apart(self, experiences: list[Experience], group_sizes: Sequence[int] | None) -> None:
        """Advantages of each group by itself, and whatever else OpenRLHF makes beside those of its own estimators."""
        apply_length_penalties(experiences, self.args)
        places = torch.tensor([place for experience in experiences for place in experience.index])
        order = places.argsort()  # the rollouts of a prompt next to each other
        n = self.args.rollout.n_samples_per_prompt
        own = list(group_sizes or [n] * (len(places) // n))
        groups = torch.cat([experience.rewards for experience in experiences])[order].split(own)
        if self.advantage_estimator == "posterior":
            predictions = torch.cat([experience.info.pop(PREDICTION_KEY) for experience in experiences])[order]
            pairs = zip(groups, predictions.split(own), strict=True)
            made = [posterior_advantages(group, *prediction[0].unbind()) for group, prediction in pairs]
        else:
            made = [group_advantages(group, self.advantage_estimator) for group in groups]
        advantages = torch.cat(made)[places]
        spreads = torch.stack([group.std(correction=min(len(group) - 1, 1)) for group in groups])
        deviations = spreads.repeat_interleave(torch.tensor(own))[places]
        sizes = [len(experience.index) for experience in experiences]
        clip, shares = self.args.reward.clip_range, zip(advantages.split(sizes), deviations.split(sizes), strict=True)
        for experience, (own, deviation) in zip(experiences, shares, strict=True):
            mask = experience.action_mask
            by_token: Any = compute_reward(own, self.kl_ctl.value, experience.kl, mask, reward_clip_range=clip)
            experience.returns = self.get_cumulative_returns(by_token, mask, gamma=1.0)
            experience.advantages = experience.returns.clone()
            experience.info |= {"return": by_token.sum(-1), "group_reward_std": deviation}
            experience.kl = None  # pyrefly: ignore[bad-assignment]  # as OpenRLHF does: the policy needs none of it

    def get_cumulative_returns(self, rewards: torch.Tensor, action_mask: torch.Tensor, gamma: float) -> Any:
        """OpenRLHF's returns [B, A]; without discount one sum from the end, in place of a loop over tokens."""
        if gamma != 1.0:
            return super().get_cumulative_returns(rewards, action_mask, gamma)
        return (rewards * action_mask).flip(-1).cumsum(-1).flip(-1)

    def _forward(self, group: Any, samples_list: list[Experience]) -> list[Any]:
        refs = group.async_run_method_batch(
            method_name="forward",
            sequences=[samples.sequences for samples in samples_list],
            action_mask=[samples.action_mask for samples in samples_list],
            attention_mask=[samples.attention_mask for samples in samples_list],
        )
        # Ranks of one ring or tensor-parallel group give the same answer.
        answers = ray.get(refs)[:: group.duplicate_actors]
        if self.args.train.colocate_all or self.args.train.colocate_actor_ref:
            ray.get(group.async_run_method("empty_cache"))
        return list(itertools.chain.from_iterable(answers))

    def _attach_kl(self, samples: Experience, base_log_probs: torch.Tensor | None) -> None:
        samples.kl = torch.zeros_like(samples.action_log_probs)
        if base_log_probs is not None and self.args.algo.kl.use_loss:
            samples.base_action_log_probs = base_log_probs
        elif base_log_probs is not None:
            estimator = self.args.algo.kl.estimator
            samples.kl = compute_approx_kl(samples.action_log_probs, base_log_probs, kl_estimator=estimator)
        samples.info["kl"] = masked_mean(samples.kl, samples.action_mask, dim=-1)

    def _weight(self, experiences: list[Experience]) -> None:
        entropies = torch.cat([experience.info[ENTROPY_KEY] for experience in experiences])
        weights = torch.ones_like(entropies)
        prepo = self.args.prepo
        if prepo.entropy_weight == "relative":
            lengths = torch.cat([experience.action_mask.sum(-1) for experience in experiences])
            advantages = sequence_advantages(experiences) if prepo.weight_balance == "sign" else None
            weights = relative_entropy_weights(entropies, lengths, prepo.entropy_mean, prepo.weight_clip, advantages)
        for experience, share in zip(experiences, weights.split([len(e.sequences) for e in experiences]), strict=True):
            experience.info[WEIGHT_KEY] = share.float()
