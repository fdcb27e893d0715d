"""After HIVE: both stages against a plain simulation, how often who is kept, resume."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch
from selector_replay import assert_resumes, outcome
from tiny_candidates import make_candidate

from prepo_rlhf.selection import Candidate
from prepo_rlhf.selection.hive import HiveSelector


def with_entropies(entropies: dict[int, float]) -> list[Candidate]:
    return [make_candidate(row, entropy=entropy) for row, entropy in entropies.items()]


def plain_median(values: list[float]) -> float:
    ranked = sorted(values)
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) / 2


def test_both_stages_are_those_of_a_plain_simulation() -> None:
    luck, selector = random.Random(0), HiveSelector(seed=3)
    history: dict[int, list[float]] = {}
    generator, running = torch.Generator().manual_seed(3), None
    for _ in range(60):
        rows = luck.sample(range(30), 12)
        entropies = {row: luck.random() for row in rows}
        draws = torch.rand(12, dtype=torch.float64, generator=generator).tolist()
        kept, lost = [], []
        for row, draw in zip(rows, draws, strict=True):
            chance = 1.0
            if row in history:
                chance = history[row][0]
                for useful in history[row][1:]:
                    chance = 0.5 * chance + 0.5 * useful
            (kept if draw < (chance if chance > 0.1 else 0.1) else lost).append(row)
        if kept:
            now = plain_median([entropies[row] for row in kept])
            running = now if running is None else 0.9 * running + 0.1 * now
        high = [row for row in kept if entropies[row] > running]
        low = sorted((row for row in kept if row not in high), key=lambda row: -entropies[row])
        expected = (high + low + sorted(lost, key=lambda row: -entropies[row]))[:5]
        chosen = [rows[i] for i in selector.select(with_entropies(entropies), 5, 0.0)]
        assert chosen == expected
        assert list(selector.metrics().values()) == pytest.approx([len(kept) / 12, len(high) / 12])
        for row in chosen:
            right = luck.choice([0, 0, 3, 8])
            history.setdefault(row, []).append(4 * right / 8 * (1 - right / 8))
            selector.observe([outcome(row, right)])


def test_a_prompt_is_kept_as_often_as_its_groups_were_useful() -> None:
    """0: solved twice; 1: solved, then half; 2: half; 3: never seen. Of K = 1 the one of low entropy comes last."""
    selector = HiveSelector(seed=0)
    for row, rights in ((0, (8, 8)), (1, (8, 4)), (2, (4,))):
        for right in rights:
            selector.observe([outcome(row, right)])
    counts = Counter()
    for row in range(4):
        for _ in range(2000):  # with one of low entropy that stage 1 keeps: taken if the other is not kept
            selector.running_median = 2.0
            chosen = selector.select(with_entropies({row: 1.0, 9: 0.1}), 1, 0.0)
            counts[row] += chosen == [0]
    assert [counts[row] / 2000 for row in range(4)] == pytest.approx([0.1, 0.5, 1.0, 1.0], abs=0.04)


def test_candidates_without_an_entropy_are_refused_by_row() -> None:
    with pytest.raises(ValueError, match=r"rows \[4\] have no entropy"):
        HiveSelector(seed=0).select([make_candidate(3, entropy=1.0), make_candidate(4)], 1, 0.0)


def test_needs_entropies_and_resumes() -> None:
    assert HiveSelector.needs_entropies and not HiveSelector.needs_scores
    assert_resumes(HiveSelector)
