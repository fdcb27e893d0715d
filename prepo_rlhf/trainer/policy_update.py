"""Trains the policy on a step's experience: as many passes as were asked for and as are safe.

Boundary: a group of policy ranks and experience; what follows in a step is for `trainer.trainer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
from openrlhf.trainer.ppo_utils.experience import Experience

from prepo_rlhf.config import Config
from prepo_rlhf.ray.actor_loss import needs_advantage
from prepo_rlhf.ray.rank_group import RankGroup
from prepo_rlhf.ray.strategy import NotFiniteError
from prepo_rlhf.ray.training_pass import MicroBatch
from prepo_rlhf.trainer.mini_batches import TrainingPasses, pass_means, sequence_means

Pass = list[list[MicroBatch]]  # for each data-parallel rank


class PolicyUpdate:
    """`--train.max_epochs` passes; with `--train.reuse_limit` a further one only while the policy is near its rollouts.

    The first pass is always made. The learning rate follows the passes that might have been made, so that where it ends
    is known.
    """

    def __init__(self, config: Config, policy: RankGroup) -> None:
        self._config, self._policy = config, policy
        self._ranks = len(policy._actor_handlers) // policy.duplicate_actors
        draws = any(ray.get(policy.async_run_method("draws_in_training")))
        self._leaves_out = needs_advantage(config) and not draws

    def __call__(
        self, experiences: list[Experience], seed: int, kl_coef: float, replayed: Sequence[Experience] = ()
    ) -> dict[str, float]:
        """Update the policy; `seed` is of the order of the sequences and of what the ranks draw.

        Args:
            replayed: sequences of earlier steps, which join the mini-batches.
        Returns:
            OpenRLHF's measures, `passes` and `used_ratio`; with a limit `reuse_kl` and `reuse_clip_ratio`, as they were
            before the last pass, or before the one that was not made. Of `replayed`, with `--train.replay_depth`, their
            number as `replayed`; `replay_kl` and `replay_clip_ratio`, each sequence measured just before its update.
        Raises:
            NotFiniteError: a weight is not a number any more.
        """
        ray.get(self._policy.async_run_method("seed", seed))
        passes = TrainingPasses(self._config, experiences, self._ranks, seed, self._leaves_out, replayed)
        done: list[dict[str, float]] = []
        drift: dict[str, float] = {}
        for number, micro_batches in enumerate(passes):
            if number and self._config.train.reuse_limit is not None:
                drift = self._drift(micro_batches)
                if drift["reuse_kl"] > self._config.train.reuse_limit:
                    self._skip(micro_batches, passes=self._config.train.max_epochs - number)
                    break
            done.append(self._train(micro_batches, kl_coef))
        if bad := next(filter(None, ray.get(self._policy.async_run_method("not_finite"))), None):
            raise NotFiniteError(f"the weight {bad} is not finite")
        made = {"used_ratio": passes.used_ratio, "passes": float(len(done))}
        if self._config.train.replay_depth:
            made["replayed"] = float(len(replayed))
        return sequence_means(experiences) | pass_means(done) | made | drift

    def _train(self, micro_batches: Pass, kl_coef: float) -> dict[str, float]:
        return self._on_ranks("train_pass", micro_batches=micro_batches, kl_coef=[kl_coef] * self._ranks)[0]

    def _drift(self, micro_batches: Pass) -> dict[str, float]:
        """How far the policy is from the rollouts of a pass; 0 where nothing is trained on."""
        kl, clipped, tokens = np.sum(self._on_ranks("reuse_sums", micro_batches=micro_batches), axis=0)
        return {"reuse_kl": float(kl / max(tokens, 1)), "reuse_clip_ratio": float(clipped / max(tokens, 1))}

    def _skip(self, micro_batches: Pass, passes: int) -> None:
        updates = passes * sum(micro_batch.ends_update for micro_batch in micro_batches[0])
        ray.get(self._policy.async_run_method("skip_updates", updates))

    def _on_ranks(self, method: str, **given: list[Any]) -> list[Any]:
        """A method of every rank with its own of the given; one answer for each data-parallel rank."""
        answers = ray.get(self._policy.async_run_method_batch(method, **given))
        return [answer for (answer,) in answers[:: self._policy.duplicate_actors]]
