"""Which checkpoints count, which one a run goes on from, and what is removed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from prepo_rlhf.files.checkpoint_manifest import (
    LATEST,
    MANIFEST,
    DamagedCheckpoints,
    damage,
    find_resumable,
    point_latest,
    rotate,
    seal,
)


def make_checkpoint(folder: Path, tag: str, age: int = 0, sealed: bool = True) -> Path:
    """A checkpoint of two files of torch's, sealed `age` seconds before the others."""
    checkpoint = folder / tag
    checkpoint.mkdir(parents=True)
    for rank in range(2):
        torch.save({"weights": torch.arange(1000.0) + rank}, checkpoint / f"rank{rank}.pt")
    if sealed:
        seal(checkpoint)
        os.utime(checkpoint / MANIFEST, (1e9 - age, 1e9 - age))
    return checkpoint


def tags(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_a_whole_checkpoint_has_no_damage(tmp_path: Path) -> None:
    assert damage(make_checkpoint(tmp_path, "global_step1")) is None


def test_a_checkpoint_of_an_earlier_version_is_told_and_never_gone_on_from(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "global_step1")
    sizes = json.loads((folder / MANIFEST).read_text())["sizes"]
    (folder / MANIFEST).write_text(json.dumps(sizes))  # how the first version sealed
    with pytest.raises(DamagedCheckpoints, match="global_step1: it was saved by another version of prepo_rlhf"):
        find_resumable(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "rank1.pt").unlink(), "rank1.pt is missing"),
        (lambda folder: os.truncate(folder / "rank0.pt", 100), "rank0.pt has 100 bytes and was saved with"),
        (lambda folder: flip_a_bit(folder / "rank1.pt"), "rank1.pt is damaged"),
    ],
    ids=["missing", "truncated", "flipped-bit"],
)
def test_damage_is_found_and_named(spoil: object, told: str, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "global_step1")
    spoil(folder)
    assert told in damage(folder)


def test_the_checkpoint_that_latest_names_comes_first_then_the_newest(tmp_path: Path) -> None:
    for age, step in enumerate((6, 4, 2)):
        make_checkpoint(tmp_path, f"global_step{step}", age)
    assert find_resumable(tmp_path).tag == "global_step6"
    point_latest(tmp_path, "global_step2")
    found = find_resumable(tmp_path)
    assert found.tag == "global_step2" and found.passed_over == []
    os.truncate(tmp_path / "global_step2" / "rank0.pt", 10)
    flip_a_bit(tmp_path / "global_step6" / "rank0.pt")
    found = find_resumable(tmp_path)
    assert found.tag == "global_step4"
    assert [fault.split(":")[0] for fault in found.passed_over] == ["global_step2", "global_step6"]


def test_a_save_that_was_cut_short_is_as_if_it_had_not_been(tmp_path: Path) -> None:
    assert find_resumable(tmp_path / "nowhere").tag is None
    make_checkpoint(tmp_path, "global_step2", sealed=False)
    assert find_resumable(tmp_path).tag is None
    make_checkpoint(tmp_path, "best_global_step1")
    assert find_resumable(tmp_path).tag == "best_global_step1"


def test_when_all_are_damaged_nothing_is_gone_on_from(tmp_path: Path) -> None:
    for step in (1, 2):
        flip_a_bit(make_checkpoint(tmp_path, f"global_step{step}") / "rank0.pt")
    with pytest.raises(DamagedCheckpoints, match="global_step1: .*global_step2: |global_step2: .*global_step1: "):
        find_resumable(tmp_path)


def test_rotation_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    newest_first = "global_step6", "best_global_step5", "global_step4", "global_step9", "best_global_step1"
    for age, tag in enumerate(newest_first):
        make_checkpoint(tmp_path, tag, age)
    make_checkpoint(tmp_path, "global_step7", sealed=False)
    rotate(tmp_path, "global_step6", max_num=2, max_gigabytes=1)
    assert tags(tmp_path) == {"global_step6", "global_step4", "best_global_step5", "best_global_step1"}
    rotate(tmp_path, "best_global_step5", max_num=2, max_gigabytes=1)
    assert tags(tmp_path) == {"global_step6", "global_step4", "best_global_step5"}
    rotate(tmp_path, "global_step6", max_num=1, max_gigabytes=1)
    assert tags(tmp_path) == {"global_step6", "best_global_step5"}


def test_rotation_by_size_never_removes_what_was_just_saved(tmp_path: Path) -> None:
    for age, step in enumerate((3, 2, 1)):
        make_checkpoint(tmp_path, f"global_step{step}", age)
    size = sum(file.stat().st_size for file in (tmp_path / "global_step1").iterdir())
    rotate(tmp_path, "global_step3", max_num=9, max_gigabytes=2.5 * size / 2**30)
    assert tags(tmp_path) == {"global_step3", "global_step2"}
    rotate(tmp_path, "global_step3", max_num=9, max_gigabytes=0)
    assert tags(tmp_path) == {"global_step3"}


def test_latest_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for tag in ("one", "two"):
        point_latest(tmp_path, tag)
        assert (tmp_path / LATEST).read_text() == tag
    assert [path.name for path in tmp_path.iterdir()] == [LATEST]
