"""The GRESO baseline: prompts are skipped with a probability that grows with their streak of zero-variance groups."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from prepo_rlhf.selection.base import Candidate, PromptOutcome, SeededSelector

EASY_REWARD = 0.98  # mean reward from which a group without variance counts as all-correct
LOWEST_CHANCE = 0.01
TARGETS = {"easy": 0.25 / 3, "hard": 0.25 * 2 / 3}
STEP = 0.01
BOUNDS = (0.05, 0.95)
OVERSAMPLING = 1.25


class GresoSelector(SeededSelector):
    """All candidates but those skipped because their recent groups had equal rewards (GRESO, arXiv 2506.02177).

    Prompts whose rewards were all equal tend to stay so. With z the number of a prompt's most recent groups in a row
    without variance, and p = p_easy if the last of them was all-correct, p_hard if not, the prompt is offered to
    rollouts with probability max(p^z, 0.01); z = 0 is never skipped. After each step of the second and later epochs
    p_easy moves down by 0.01 if the share of all-correct groups reached its target 0.25 / 3, else up; p_hard
    likewise with all other groups without variance and the target 0.25 * 2 / 3. Both start at 0.5 and stay in
    [0.05, 0.95].

    Groups without variance are dropped, and rollouts go on until K others are there. `rollout_batch` is the paper's
    adaptive sampling batch: 1.5 K at the start of a step, then missing / (1 - zero-variance ratio) * 1.25, clamped
    to [K / 4, 1.5 K] (384 and [64, 384] at the paper's K = 256). The ratio is that of the last training step observed,
    as outcomes arrive once a step; before the first it is 0. The second epoch has begun when a candidate is offered
    for the second time.
    """

    drops_zero_variance = True
    state = ("chances", "streaks", "offered", "first_epoch", "zero_variance_ratio")

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.chances = {"easy": 0.5, "hard": 0.5}
        self.streaks: dict[int, tuple[str, int]] = {}  # of prompts with z > 0: kind of the last group, z
        self.offered: set[int] = set()
        self.first_epoch = True
        self.zero_variance_ratio = 0.0
        self._skipped_ratio: float | None = None

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        """All candidates not skipped, in random order: more or fewer than `k`, of which only z = 0 is certain."""
        rows = [c.row for c in candidates]
        self.first_epoch = self.first_epoch and self.offered.isdisjoint(rows)
        self.offered.update(rows)
        chances = torch.tensor([self._chance(row) for row in rows], dtype=torch.float64)
        offered = torch.rand(len(rows), dtype=torch.float64, generator=self._generator) < chances
        order = torch.randperm(len(rows), generator=self._generator)
        self._skipped_ratio = 1 - offered.double().mean().item()
        return order[offered[order]].tolist()

    def rollout_batch(self, missing: int, k: int) -> int:
        lowest, highest = math.ceil(k / 4), math.ceil(1.5 * k)
        if missing == k or self.zero_variance_ratio == 1:
            return highest
        return min(max(math.ceil(missing / (1 - self.zero_variance_ratio) * OVERSAMPLING), lowest), highest)

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
        """Takes in every group rolled out in a training step, also those dropped; called once a step."""
        if not outcomes:
            return
        kinds = [_kind(outcome) for outcome in outcomes]
        for outcome, kind in zip(outcomes, kinds, strict=True):
            _, streak = self.streaks.pop(outcome.row, ("", 0))
            if kind != "varied":
                self.streaks[outcome.row] = (kind, streak + 1)
        self.zero_variance_ratio = 1 - kinds.count("varied") / len(kinds)
        if not self.first_epoch:
            for kind, target in TARGETS.items():
                step = -STEP if kinds.count(kind) / len(kinds) >= target else STEP
                self.chances[kind] = min(max(self.chances[kind] + step, BOUNDS[0]), BOUNDS[1])

    def metrics(self) -> dict[str, float]:
        """The base probabilities of an offer, and the share of candidates that the last selection skipped."""
        if self._skipped_ratio is None:
            return {}
        chances = {f"prepo/greso_p_{kind}": chance for kind, chance in self.chances.items()}
        return chances | {"prepo/skipped_ratio": self._skipped_ratio}

    def _chance(self, row: int) -> float:
        """The probability that a prompt is offered to rollout."""
        if row not in self.streaks:
            return 1.0
        kind, streak = self.streaks[row]
        return max(self.chances[kind] ** streak, LOWEST_CHANCE)


def _kind(outcome: PromptOutcome) -> str:
    """Whether a group's rewards varied, were all-correct (easy), or were equal otherwise (hard)."""
    if min(outcome.rewards) != max(outcome.rewards):
        return "varied"
    return "easy" if outcome.rewards[0] >= EASY_REWARD else "hard"
