"""What tests of selectors with a memory share: candidates, outcomes, and a stop and resume through torch.save."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence

import torch
from tiny_candidates import make_candidate

from prepo_rlhf.selection import Candidate, PromptOutcome, PromptSelector

Record = list[tuple[list[int], dict[str, float]]]


def candidates_of(indices: Sequence[int]) -> list[Candidate]:
    """Prompts with perplexities, entropies and lengths that differ, in no order."""
    return [make_candidate(i, 10 + i * 7 % 23, 1.5 + i * 5 % 11, entropy=0.1 + i * 8 % 13 / 10) for i in indices]


def outcome(index: int, right: int, trials: int = 8) -> PromptOutcome:
    """A group with `right` of `trials` rollouts right."""
    return PromptOutcome(index, (1.0,) * right + (0.0,) * (trials - right))


def replay(selector: PromptSelector, steps: range, waiting: Sequence[int] = (), k: int = 6) -> Record:
    """What a selector chooses and reports in epochs of three steps over 60 prompts; the later in index, the easier.

    Each step first observes the outcomes of the last, at its start those of the prompts `waiting`.
    """
    record = []
    for step in steps:
        luck = random.Random(-step)
        selector.observe([outcome(i, sum(luck.random() < i / 60 for _ in range(8))) for i in waiting])
        epoch, batch = divmod(step, 3)
        indices = random.Random(epoch).sample(range(60), 60)[20 * batch : 20 * batch + 20]
        candidates = candidates_of(indices)
        waiting = [indices[i] for i in selector.select(candidates, k, step / 40)]
        record.append((waiting, selector.metrics()))
    return record


def assert_resumes(make: Callable[[int], PromptSelector]) -> None:
    """A selector loaded into one with another seed and past goes on as the unbroken one, choices and metrics.

    At the end of the first epoch and in a later one, with outcomes still to come. More of the run goes by before the
    checkpoint is written, and must not reach into it.
    """
    for stop in (3, 15):
        selector = make(1)
        waiting = replay(selector, range(stop))[-1][0]
        state = selector.state_dict()
        unbroken = replay(selector, range(stop, 40), waiting)
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        resumed = make(2)
        replay(resumed, range(5))
        resumed.load_state_dict(torch.load(file, weights_only=True))
        assert replay(resumed, range(stop, 40), waiting) == unbroken
