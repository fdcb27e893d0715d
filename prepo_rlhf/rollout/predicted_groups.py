"""A prompt's rollouts with what the selector predicted of them: what `--algo.advantage.estimator posterior` needs.

The prediction is that of the selection, whenever the group is trained on: it goes with the rollouts.
Boundary: experience and a candidate; the advantages are made by `trainer.experience_maker`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from openrlhf.trainer.ppo_utils.experience import Experience

from prepo_rlhf.files.user_code import excerpt
from prepo_rlhf.rewards.contract import RewardError
from prepo_rlhf.selection.base import Candidate

PREDICTION_KEY = "prediction"  # in Experience.info: [B, 2] float64, mean and variance of the prompt's pass rate


def add_prediction(group: Sequence[Experience], candidate: Candidate) -> None:
    """Add `info[PREDICTION_KEY]` to the rollouts of a prompt.

    Raises:
        RewardError: a reward is not in [0, 1], where a mean reward is no pass rate; naming the row.
    """
    for experience in group:
        reward = float(experience.rewards)
        if not 0 <= reward <= 1:
            raise RewardError(
                f"--algo.advantage.estimator posterior: takes rewards from 0 to 1, and one of row {candidate.row} (the "
                f"prompt {excerpt(candidate.prompt.text)}) is {reward:g}: bring the rewards to that range, or take "
                "group_norm"
            )
        experience.info[PREDICTION_KEY] = torch.tensor([candidate.prediction], dtype=torch.float64)
