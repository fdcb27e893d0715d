"""The informative groups of the last steps, which the next steps train on once more beside their own rollouts.

A group is informative where a sequence of it has a weighted advantage other than 0. Old log-probs, advantages and
weights stay those of its rollouts: the ratio of the clipped surrogate is then that of the policy as it is and the one
that made them, which corrects for the steps between.
Boundary: keeps sequences, in memory and in a checkpoint's file; `mini_batches` deals them out.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from openrlhf.trainer.ppo_utils.experience import Experience

from prepo_rlhf.trainer.mini_batches import single_sequences, teaches_anything


class Replay:
    """The informative groups of the last `depth` steps that were trained on; of none with a depth of 0."""

    def __init__(self, depth: int) -> None:
        self._steps: deque[list[Experience]] = deque(maxlen=depth)

    @property
    def sequences(self) -> list[Experience]:
        """One experience a sequence, those of the oldest step first."""
        return [sequence for step in self._steps for sequence in step]

    def add(self, groups: list[Experience]) -> None:
        """Keep a step's `informative_groups`, and no longer those of the oldest step."""
        self._steps.append(groups)

    def save(self, path: Path) -> None:
        """Write what is kept to a file. Raises OSError."""
        names = [field.name for field in fields(Experience)]
        steps = [[{name: getattr(sequence, name) for name in names} for sequence in step] for step in self._steps]
        written = io.BytesIO()  # where PyTorch writes itself, a full disk is a RuntimeError
        torch.save(steps, written)
        path.write_bytes(written.getbuffer())

    def load(self, path: Path) -> None:
        """Keep what `save` has written, and nothing else."""
        self._steps.clear()
        self._steps.extend([Experience(**values) for values in step] for step in torch.load(path, weights_only=True))


def informative_groups(experiences: Sequence[Experience], group_sizes: Sequence[int]) -> list[Experience]:
    """Copies of the sequences of all informative groups, in the order of the rollouts and without padding.

    Args:
        experiences: a step's, as the experience maker leaves them: with the place of each sequence among the rollouts,
            those of a prompt next to each other.
        group_sizes: how many rollouts each prompt has.
    """
    places = [place for experience in experiences for place in experience.index]
    of_place = dict(zip(places, single_sequences(experiences, replayed=True), strict=True))
    group_of = [group for group, size in enumerate(group_sizes) for _ in range(size)]
    informative = {group_of[place] for place, sequence in of_place.items() if teaches_anything(sequence)}
    return [_copy(of_place[place]) for place in sorted(of_place) if group_of[place] in informative]


def _copy(sequence: Experience) -> Experience:
    """With tensors of its own, which hold no other sequence of their batch in memory."""
    values = {field.name: getattr(sequence, field.name) for field in fields(Experience)}
    copies: dict[str, Any] = {name: value.clone() for name, value in values.items() if torch.is_tensor(value)}
    return replace(sequence, **copies)
