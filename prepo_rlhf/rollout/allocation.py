"""Spends a step's rollouts where they differ: a pilot for every prompt, and the rest where the pilot is mixed.

With K = `--rollout.batch_size` and n = `--rollout.n_samples_per_prompt` a step has K n rollouts. A prompt starts with a
pilot of m = `--prepo.pilot_samples`. If the rewards of the pilot are not all equal, the prompt gets n - m more; if they
are, its group stays the pilot, and the n - m rollouts go to further prompts.
Boundary: the prompt stream, and functions it is given; no Ray, no engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Generic, TypeVar

from prepo_rlhf.rollout.step_groups import StepGroups
from prepo_rlhf.selection.base import Candidate
from prepo_rlhf.selection.prompt_stream import PromptStream

Call = TypeVar("Call")  # rollouts of a prompt, under way
Rollout = TypeVar("Rollout")


@dataclass(frozen=True)
class Part:
    """`count` rollouts that are asked of a prompt, of the stream's draw `draw`, after `first` earlier ones."""

    candidate: Candidate
    draw: int
    first: int
    count: int


class RolloutBudget:
    """A step's rollouts, each of which is spent, reserved for a prompt under way, or free.

    A prompt that starts reserves a whole group, n, so that every mixed pilot gets its rest. Only when no pilot is under
    way any more, and fewer than n are free, one prompt starts with what is left: its group is cut. n is a multiple of
    m, and so is whatever is left, so no pilot is cut, and exactly K n rollouts are spent.
    """

    def __init__(self, prompts: int, group: int, pilot: int) -> None:
        """K, n and m, m dividing n."""
        self.group, self.pilot = group, pilot
        self.free = prompts * group

    def reserve(self, settled: bool) -> list[int]:
        """The rollouts reserved for each prompt that starts now; `settled`: no pilot is under way."""
        whole, left = divmod(self.free, self.group)
        reserved = [self.group] * whole or [left] * (settled and left > 0)
        self.free -= sum(reserved)
        return reserved

    def rest(self, reserved: int, scores: Sequence[float]) -> int:
        """How many rollouts follow a pilot with these scores; those reserved beyond them are free again."""
        rest = reserved - len(scores)
        if min(scores) < max(scores):
            return rest
        self.free += rest
        return 0


@dataclass
class _Group(Generic[Rollout]):
    """What a prompt has got of the rollouts reserved for it; nothing until its pilot is there."""

    candidate: Candidate
    reserved: int
    scores: tuple[float, ...] = ()
    rollouts: list[Rollout] = field(default_factory=list)


def collect_within_budget(
    stream: PromptStream,
    budget: RolloutBudget,
    submit: Callable[[list[Part]], list[Call]],
    receive: Callable[[Call], tuple[tuple[float, ...], list[Rollout]]],
    in_rounds: bool = False,
) -> StepGroups[list[Rollout]] | None:
    """The groups of a step, in the order in which their prompts started; None when the data has ended.

    Further prompts are the selector's next choice among the candidates of the step's window. Answers are taken in the
    order in which they were asked for, so the same rewards make the same groups, whichever engine is faster.

    Args:
        submit: starts rollouts of several prompts.
        receive: waits for those of one, and gives their scores and the rollouts.
        in_rounds: ask for more only when all rollouts under way are complete, so that timing does not decide which of
            them share a batch in the engine.
    """
    window = stream.draw()
    if window is None:
        return None
    groups: list[_Group[Rollout]] = []
    due: list[tuple[_Group[Rollout], int]] = []  # and the rollouts to ask for
    waiting: deque[tuple[_Group[Rollout], Call]] = deque()
    while True:
        if not (in_rounds and waiting):
            reserved = budget.reserve(settled=all(group.rollouts for group in groups))
            candidates = stream.draw_more(len(reserved)) if groups else window.selected
            started = [_Group[Rollout](*given) for given in zip(candidates, reserved, strict=True)]
            groups += started
            due += [(group, budget.pilot) for group in started]
            calls = submit([Part(group.candidate, window.draw, len(group.rollouts), count) for group, count in due])
            waiting.extend((group, call) for (group, _), call in zip(due, calls, strict=True))
            due = []
        if not waiting:
            break
        group, call = waiting.popleft()
        is_pilot = not group.rollouts
        scores, rollouts = receive(call)
        group.scores += scores
        group.rollouts += rollouts
        if is_pilot and (rest := budget.rest(group.reserved, scores)):
            due.append((group, rest))
    metrics = window.metrics | allocation_metrics([len(group.rollouts) for group in groups], budget.pilot)
    outcomes = [group.candidate.outcome(group.scores) for group in groups]
    return StepGroups(metrics, [group.rollouts for group in groups], outcomes)


def allocation_metrics(sizes: Sequence[int], pilot: int) -> dict[str, float]:
    """How a step's rollouts were spent, from the sizes of its groups.

    Returns:
        rollout/prompts; rollout/pilot_only_ratio, the share of prompts that stayed with their pilot;
        rollout/pilot_ratio, the share of rollouts that belong to a pilot; rollout/group_size_mean.
    """
    return {
        "rollout/prompts": float(len(sizes)),
        "rollout/pilot_only_ratio": fmean(size == pilot for size in sizes),
        "rollout/pilot_ratio": pilot * len(sizes) / sum(sizes),
        "rollout/group_size_mean": fmean(sizes),
    }
