"""The leaderboard: records of made-up runs, what they are compared on, and what is not compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import leaderboard
import pytest
from leaderboard import RecordError, read_records, record, table, task
from settings import TRAIN_FILE
from tiny_grids import write_run

PLAIN = {"options": [], "selector": "random", "file": None}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in (TRAIN_FILE, "heldout.jsonl"):
        (folder / name).write_text(name)
    return folder


def written(folder: Path, data: Path, name: str, seed: int, speed: float, **changes: Any) -> Path:
    """The file of a record of a made-up run."""
    run = write_run(folder, name, seed, speed).parent
    file = folder / f"{name}-{seed}.json"
    file.write_text(json.dumps(record(run, data, PLAIN | {"name": name}) | changes))
    return file


def test_a_method_twice_as_fast_stands_first_with_half_the_rollouts(tmp_path: Path, data: Path) -> None:
    files = [written(tmp_path, data, "random", seed, 1.0) for seed in (1, 2)]
    files += [written(tmp_path, data, "own", seed, 2.0) for seed in (1, 2, 3)]  # of which the last has no Random
    first, second = table(read_records(files)).splitlines()[2:]
    saved = "2.00 [2.00, 2.00]"
    assert first.startswith(f"| own |  | 2 | {saved} | {saved} | {saved} | 0.440 | +0.120 [+0.120, +0.120] |")
    assert second.startswith("| random |  | 2 | 1.00 [1.00, 1.00] |")


def test_a_record_holds_its_task_and_its_evaluations(tmp_path: Path, data: Path) -> None:
    made = json.loads(written(tmp_path, data, "random", 4, 1.0).read_text())
    assert made["seed"] == 4 and made["task"] == task(data)
    assert made["rollouts"][:3] == [0, 1280, 2560] and made["accuracy"][:2] == [0.2, 0.22]
    options = made["task"]["options"]
    assert (options["rollout.temperature"], options["eval.n_samples_per_prompt"]) == ("1.0", "16")
    before = task(data)
    (data / "heldout.jsonl").write_text("another")
    assert {name for name, value in task(data).items() if before[name] != value} == {"heldout"}


def test_what_is_not_compared(tmp_path: Path, data: Path) -> None:
    random = written(tmp_path, data, "random", 1, 1.0)
    renamed = PLAIN | {"name": "random", "options": ["--x", "1"]}
    others = {
        "are of different tasks (budget)": written(tmp_path, data, "b", 1, 1.0, task=task(data) | {"budget": 1}),
        "format 0; this reads 1": written(tmp_path, data, "c", 1, 1.0, format=0),
        "a second record of random with seed 1": random,
        "another method (options or file) is called random too": written(
            tmp_path, data, "random", 2, 1.0, method=renamed
        ),
    }
    for told, file in others.items():
        with pytest.raises(RecordError) as refused:
            read_records([random, file])
        assert told in str(refused.value)
    with pytest.raises(RecordError, match="no record of random"):
        table(read_records([written(tmp_path, data, "d", 1, 1.0)]))


def test_a_run_that_ended_early_gives_no_record(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaderboard, "BUDGET", 200 * 128)
    with pytest.raises(RecordError, match=r"ended after 19,200 of 25,600 rollouts: give --extra_epochs"):
        written(tmp_path, data, "random", 1, 1.0)
