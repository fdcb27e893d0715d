"""Which groups are kept for later steps, for how long, and that a file gives them back as they were."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from test_mini_batches import make_experiences

from prepo_rlhf.ray.policy_actor import REPLAYED_KEY, WEIGHT_KEY
from prepo_rlhf.trainer.mini_batches import single_sequences, teaches_anything
from prepo_rlhf.trainer.replay import Replay, informative_groups

SIZES = [2, 4, 2, 2, 2]  # of the groups, as pilots leave them


def made_step(seed: int, silent: float = 0.6) -> list[Any]:
    """12 rollouts, groups of SIZES, in micro-batches that do not follow the order of the rollouts."""
    experiences = make_experiences(12, seed, silent)
    for experience, index in zip(experiences, ([9, 2, 4, 11], [0, 7, 1, 3], [5, 10, 8, 6]), strict=True):
        experience.index = index
        experience.prompts = [f"prompt {place // 2}" for place in index]
    return experiences


def assert_same(kept: list[Any], expected: list[Any]) -> None:
    """In every field, to the last bit."""
    for sequence, other in zip(kept, expected, strict=True):
        for name in (field.name for field in fields(sequence)):
            value, its = getattr(sequence, name), getattr(other, name)
            if isinstance(value, torch.Tensor):
                assert value.dtype == its.dtype and torch.equal(value, its), name
            else:
                assert value == its, name


@pytest.mark.parametrize("seed", range(4))
def test_whole_groups_are_kept_in_the_order_of_the_rollouts(seed: int) -> None:
    by_place = {}
    for experience in made_step(seed):
        for place, sequence in zip(experience.index, single_sequences([experience], replayed=True), strict=True):
            by_place[place] = sequence
    expected = []
    for first, size in ((0, 2), (2, 4), (6, 2), (8, 2), (10, 2)):
        group = [by_place[place] for place in range(first, first + size)]
        if any(s.info[WEIGHT_KEY] * a != 0 for s in group for a in s.advantages[s.action_mask].tolist()):
            expected += group
    kept = informative_groups(made_step(seed), SIZES)
    assert_same(kept, expected)
    assert 0 < len(kept) < 12 and all(sequence.info[REPLAYED_KEY] for sequence in kept)
    assert not all(teaches_anything(sequence) for sequence in kept)  # which count in the denominators all the same


def test_a_kept_sequence_holds_no_other_in_memory() -> None:
    for sequence in informative_groups(made_step(0), SIZES):
        assert sequence.action_log_probs.untyped_storage().nbytes() == 8 * len(sequence.action_log_probs)


def test_those_of_the_last_steps_alone() -> None:
    replay, steps = Replay(2), [informative_groups(made_step(seed), SIZES) for seed in range(4)]
    assert replay.sequences == []
    for number, groups in enumerate(steps):
        replay.add(groups)
        last = steps[max(0, number - 1) : number + 1]
        assert list(map(id, replay.sequences)) == [id(sequence) for step in last for sequence in step]


def test_a_step_without_an_informative_group_ages_the_others() -> None:
    replay = Replay(1)
    replay.add(informative_groups(made_step(0), SIZES))
    replay.add(informative_groups(made_step(1, silent=1.0), SIZES))
    assert replay.sequences == []


def test_a_file_gives_back_what_was_kept(tmp_path: Path) -> None:
    """After which it ages as what was saved."""
    replay, resumed = Replay(2), Replay(2)
    resumed.add(informative_groups(made_step(9), SIZES))  # of a step that is made again
    for seed in range(2):
        replay.add(informative_groups(made_step(seed), SIZES))
    replay.save(tmp_path / "replay.pt")
    resumed.load(tmp_path / "replay.pt")
    assert_same(resumed.sequences, replay.sequences)
    for one in (replay, resumed):
        one.add(informative_groups(made_step(2), SIZES))
    assert_same(resumed.sequences, replay.sequences)
