"""Fills a training step with prompt groups: starts rollouts, keeps or drops each group, draws more prompts if needed.

Boundary: the prompt stream, options, and functions it is given; no Ray, no engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from prepo_rlhf.config.training import AlgoOptions
from prepo_rlhf.selection.base import Candidate, PromptOutcome
from prepo_rlhf.selection.prompt_stream import PromptStream

Call = TypeVar("Call")  # a prompt's rollouts, under way
Group = TypeVar("Group")  # a prompt's rollouts, done


@dataclass
class StepGroups(Generic[Group]):
    """`kept` holds K groups in the order of submission; `outcomes` the scores of every prompt that was rolled out;
    `metrics` those of the step's first window, with the scoring time of all of them."""

    metrics: dict[str, float]
    kept: list[Group] = field(default_factory=list)
    outcomes: list[PromptOutcome] = field(default_factory=list)


def keeps(scores: Sequence[float], algo: AlgoOptions, drops_zero_variance: bool) -> bool:
    """Whether a prompt's group with these scores is trained on.

    Equal scores leave group-normalised advantages of 0 and nothing to learn, so DAPO (arXiv 2503.14476) drops the
    group. OpenRLHF's range of the mean, 0 to 1, does the same only where every score is 0 or 1.

    Args:
        scores: of the prompt's n rollouts.
        algo: with the options of dynamic filtering.
        drops_zero_variance: whether groups of equal scores go, whatever the options.
    """
    zero_variance = min(scores) == max(scores)
    if drops_zero_variance and zero_variance:
        return False
    if not algo.dynamic_filtering_enable:
        return True
    if algo.dynamic_filtering_criterion == "zero-variance":
        return not zero_variance
    low, high = algo.dynamic_filtering_range
    return low < sum(scores) / len(scores) < high


def collect_groups(
    stream: PromptStream,
    k: int,
    submit: Callable[[list[Candidate], int], list[Call]],
    receive: Callable[[Call], tuple[tuple[float, ...], Group]],
    keep: Callable[[tuple[float, ...]], bool],
    in_rounds: bool = False,
) -> StepGroups[Group] | None:
    """`k` groups worth keeping; None when the data ends before they are found.

    As many prompts are in rollout at once as the selector's `rollout_batch` says. One that is not kept is replaced by
    the next of its window, then of a further window. Prompts still in rollout when the last group is found are
    waited for, and are outcomes like the others, but not kept.

    Args:
        submit: starts the candidates' rollouts; also told the number of the draw they come from.
        receive: waits for them, and gives their scores and the group.
        keep: whether a group with these scores is kept.
        in_rounds: start replacements only when all rollouts under way are complete, so that timing does not decide
            which of them share a batch in the engine.
    """
    window = stream.draw()
    if window is None:
        return None
    groups: StepGroups[Group] = StepGroups(dict(window.metrics))
    supply, waiting = deque(window.selected), deque()
    while (missing := k - len(groups.kept)) or waiting:
        if missing and supply and not (in_rounds and waiting):
            room = stream.selector.rollout_batch(missing, k) - len(waiting)
            candidates = [supply.popleft() for _ in range(min(room, len(supply)))]
            waiting.extend(zip(candidates, submit(candidates, window.draw), strict=True))
        if not waiting:
            window = stream.draw()
            if window is None:
                return None
            groups.metrics["timing/score_prompts"] += window.metrics["timing/score_prompts"]
            supply.extend(window.selected)
            continue
        candidate, call = waiting.popleft()
        scores, group = receive(call)
        groups.outcomes.append(candidate.outcome(scores))
        if missing and keep(scores):
            groups.kept.append(group)
    return groups
