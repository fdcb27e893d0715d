"""One pass over a step's rollouts on one rank: micro-batch after micro-batch, each with its mini-batch's denominators.

It stands in the place of OpenRLHF's `ppo_train`, which trains on every sequence that a rank was given.
Boundary: the rank's own micro-batches; which sequences they hold was decided by `trainer.mini_batches`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from openrlhf.trainer.ppo_utils.experience import Experience
from openrlhf.trainer.ray.ppo_actor import ActorPPOTrainer
from openrlhf.utils.loss_utils import get_loss_batch_info
from tqdm import tqdm

# OpenRLHF's measures that are shares of a mini-batch's mean: they are summed over its micro-batches.
LOSSES = ("policy_loss", "kl", "entropy_loss")
# Sums over the tokens of replayed sequences, and the number of those tokens.
REPLAY_SUMS = ("replay_kl", "replay_clip_ratio", "replay_tokens")
# Those that are 0 at a token whose advantage is 0.
ZERO_WITHOUT_ADVANTAGE = ("ppo_clip_ratio",)


@dataclass
class MicroBatch:
    """One forward and backward pass of one rank.

    Attributes:
        num_tokens: M, response tokens of the whole mini-batch, also of sequences that are left out of training.
        num_sequences: its sequences that have a response.
        share: of the rank's sequences in the mini-batch; 0 is a stand-in, without loss, for a rank that has none.
        ends_update: whether the optimizer steps after it.
    """

    experience: Experience
    num_tokens: int
    num_sequences: int
    share: float
    ends_update: bool


def run_pass(trainer: ActorPPOTrainer, micro_batches: Sequence[MicroBatch], kl_coef: float) -> dict[str, float]:
    """Train on the micro-batches. All ranks do as many, and get the same answer.

    Returns:
        OpenRLHF's measures. LOSSES are means over all sequences of a mini-batch, averaged over mini-batches;
        ppo_clip_ratio is a mean over all response tokens; REPLAY_SUMS become means over the replayed tokens trained on,
        and the others are means over all tokens trained on, missing where there are none; learning rate and norm of the
        gradient are those of the last update.
    """
    buffer, strategy, device = trainer.replay_buffer, trainer.strategy, torch.device(torch.cuda.current_device())
    # Where OpenRLHF's training step looks them up.
    buffer.dynamic_optimizer_step = [micro_batch.ends_update for micro_batch in micro_batches]
    buffer.dynamic_sample_loss_scale = [micro_batch.share for micro_batch in micro_batches]
    sums: dict[str, float] = defaultdict(float)
    last: dict[str, float] = {}
    dp_size = 1
    for step, micro_batch in enumerate(tqdm(micro_batches, desc="Train", disable=not strategy.is_rank_0())):
        experience = micro_batch.experience.to_device(device)
        denominators = get_loss_batch_info(
            strategy,
            experience.action_mask,
            batch_num_tokens=micro_batch.num_tokens,
            global_batch_size=micro_batch.num_sequences,
        )
        dp_size = denominators["dp_size"]
        status = cast(dict[str, Any], trainer.training_step(experience, kl_coef, step, denominators))
        tokens = status["num_action_tokens"] if micro_batch.share else 0.0
        sums["tokens"] += tokens
        for name, value in status["metrics"].items():
            weighting = status["weights"][name]
            if weighting is None:
                last[name] = float(value)
            elif weighting == "token" and name in (*LOSSES, *REPLAY_SUMS):
                sums[name] += float(value)
            elif weighting == "token":
                sums[name] += float(value) * tokens if tokens else 0.0
    updates = [micro_batch for micro_batch in micro_batches if micro_batch.ends_update]
    return last | _means(strategy.all_reduce(sums, op="mean"), updates, dp_size)


def _means(sums: dict[str, float], updates: Sequence[MicroBatch], dp_size: int) -> dict[str, float]:
    """What `sums`, averaged over the ranks, say of the pass with these updates."""
    tokens, replayed = sums.pop("tokens"), sums.pop("replay_tokens", 0.0)
    divisors = dict.fromkeys(sums, tokens) | dict.fromkeys(LOSSES, len(updates)) | dict.fromkeys(REPLAY_SUMS, replayed)
    # A loss was multiplied by the number of data-parallel ranks already.
    divisors |= dict.fromkeys(ZERO_WITHOUT_ADVANTAGE, sum(update.num_tokens for update in updates) / dp_size)
    return {name: value / divisors[name] for name, value in sums.items() if divisors[name]}
