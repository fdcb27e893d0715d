"""A job that goes on: from where it says, as the run that was begun, or refused; and nothing is ever lost."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import yaml
from attempts import attempt
from job_folders import (
    OVERWRITE,
    RESUME,
    begin,
    contents,
    job_in,
    leave_checkpoints,
    leave_model,
    leave_records,
    leave_run,
    refusal,
    write,
)

from prepo_rlhf.cli import train_prepo_ray
from prepo_rlhf.config import ConfigError
from prepo_rlhf.files.run_start import find_start
from prepo_rlhf.trainer import job


def test_a_run_goes_on_and_says_from_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_run(job_in(tmp_path), finished=False)
    before = contents(tmp_path)
    start = begin(job_in(tmp_path, **RESUME))
    assert start.tag == "global_step4" and contents(tmp_path) == before
    assert f"Going on after step 4, from {tmp_path}/run/checkpoints/_actor/global_step4\n" == capsys.readouterr().out
    assert begin(job_in(tmp_path, **RESUME, **OVERWRITE)).tag == "global_step4"
    assert contents(tmp_path) == before, "there is something to go on from, so nothing is set aside"


def test_with_nothing_there_yet_it_starts_afresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert begin(job_in(tmp_path, **RESUME)).tag is None
    assert f"there is no checkpoint in {tmp_path}/run/checkpoints, so the run starts afresh" in capsys.readouterr().out
    leave_records(job_in(tmp_path), 1)  # killed before its first checkpoint
    (tmp_path / "run/checkpoints/_actor/global_step2").mkdir(parents=True)
    write(tmp_path / "run/checkpoints/_actor/latest", "global_step2")
    before = contents(tmp_path)
    for _ in range(2):
        assert begin(job_in(tmp_path, **RESUME)).tag is None
    assert contents(tmp_path) == before and not (tmp_path / "run/checkpoints/_actor").exists()


def test_a_run_never_goes_on_from_anothers_checkpoint(tmp_path: Path) -> None:
    """A ended; B, in the same folders and with the same options, is killed before its first checkpoint."""
    leave_run(job_in(tmp_path))
    assert "another run wrote that" in refusal(job_in(tmp_path))
    begin(job_in(tmp_path, **OVERWRITE))
    leave_records(job_in(tmp_path), 1)
    assert begin(job_in(tmp_path, **RESUME)).tag is None
    assert len(list((tmp_path / "run").glob("before-*"))) == 2


def test_a_finished_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave_run(job_in(tmp_path))
    before = contents(tmp_path)
    for changes in ({}, {"train__num_episodes": 1, "vllm__num_engines": 2}):
        assert begin(job_in(tmp_path, **RESUME, **changes)).finished
        told = capsys.readouterr().out
        assert f"is finished, after step 6, and its model is in {tmp_path}/run/model" in told
        assert "give more than --train.num_episodes 1" in told
    assert contents(tmp_path) == before


@pytest.mark.parametrize("how", ["more episodes", "another output_dir", "its model is gone", "an earlier checkpoint"])
def test_a_finished_run_can_be_gone_on_with(how: str, tmp_path: Path) -> None:
    leave_run(job_in(tmp_path))
    changes: dict[str, Any] = dict(RESUME)
    if how == "more episodes":
        changes["train__num_episodes"] = 2
    elif how == "another output_dir":
        changes["ckpt__output_dir"] = str(tmp_path / "elsewhere")
    elif how == "an earlier checkpoint":
        write(tmp_path / "run/checkpoints/_actor/latest", "global_step2\n")
    else:
        for file in (tmp_path / "run/model").iterdir():
            file.unlink()
    before = contents(tmp_path)
    start = begin(job_in(tmp_path, **changes))
    assert start.tag == ("global_step2" if how == "an earlier checkpoint" else "global_step4") and not start.finished
    assert contents(tmp_path) == before
    kept_in_place = how == "another output_dir"
    assert (tmp_path / "run/model/config.json").is_file() == kept_in_place, "the earlier model is not written over"


def test_a_finished_run_without_checkpoints_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from prepo_rlhf.files.checkpoint_manifest import Finished, write_finished

    leave_records(job_in(tmp_path), 6)
    leave_model(job_in(tmp_path))
    (tmp_path / "run/checkpoints").mkdir()
    write_finished(tmp_path / "run/checkpoints/finished.json", Finished(6, 1, None))
    assert find_start(job_in(tmp_path, **RESUME)).finished and "is finished" in capsys.readouterr().out


# What stands in the way of going on -> what is told.
OBSTACLES: dict[str, tuple[Callable[[Path], None], dict[str, Any], str]] = {
    "records of another run": (
        lambda folder: leave_records(job_in(folder, train__seed=9), 3), {}, "--logger.run_dir .*records there are of "
        "another run than the checkpoint in .*: --train.seed was 9 and is now 42",
    ),
    "a model of another run": (
        lambda folder: write(folder / "other/config.json", "{}"), {"ckpt__output_dir": "other"},
        "--ckpt.output_dir .*/other: config.json there are not of the run",
    ),
    "TensorBoard files of another run": (
        lambda folder: write(folder / "logs/events.out.tfevents.1.h", "x"), {"logger__tensorboard_dir": "logs"},
        "--logger.tensorboard_dir .*/logs: events.out.tfevents.1.h there are not of the run",
    ),
    "records without options, elsewhere": (
        lambda folder: write(folder / "other/metrics.jsonl", '{"step": 1}\n'), {"logger__run_dir": "other"},
        "--logger.run_dir .*/other: metrics.jsonl there are not of the run",
    ),
    "a line that is no row": (
        lambda folder: write(folder / "run/metrics.jsonl", '{"step": 1}\n{"step": "2"}\n{"step": 3}\n'), {},
        "--logger.run_dir .*: metrics.jsonl: line 2 is no row of a step",
    ),
    "binary rows": (
        lambda folder: (folder / "run/prompts.jsonl").write_bytes(b"\xff\xfe\n"), {},
        "--logger.run_dir .*: prompts.jsonl: .*codec can't decode",
    ),
    "no options beside the checkpoints": (
        lambda folder: (folder / "run/checkpoints/config.yaml").unlink(), {},
        "--ckpt.load_enable: the options of the checkpoints: .*config.yaml cannot be read",
    ),
    "options cut short": (
        lambda folder: write(folder / "run/checkpoints/config.yaml", "actor:\n  adam: {lr: 1"), {},
        "--ckpt.load_enable: the options of the checkpoints: .*config.yaml cannot be read as YAML",
    ),
    "options without the learning rate": (
        lambda folder: write(folder / "run/checkpoints/config.yaml", "actor:\n  optim: adam\n"), {},
        "config.yaml is damaged: it has no --actor.",
    ),
    "all checkpoints damaged": (
        lambda folder: [file.write_bytes(b"x") for file in folder.rglob("rank0.pt")], {},
        r"no checkpoint in .* can be gone on from \(global_step4: rank0.pt has 1 bytes.*global_step2: .*whole copy",
    ),
    "manifests that are no JSON": (
        lambda folder: [file.write_bytes(b"\xff{") for file in folder.rglob("manifest.json")], {},
        "global_step4: its manifest.json is damaged",
    ),
    "manifests without files": (
        lambda folder: [file.write_text('{"format": 2, "sizes": {}}') for file in folder.rglob("manifest.json")], {},
        "global_step4: its manifest.json lists no files",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OBSTACLES)
def test_why_a_run_is_not_gone_on_with(name: str, tmp_path: Path) -> None:
    spoil, changes, told = OBSTACLES[name]
    leave_run(job_in(tmp_path), finished=False)
    spoil(tmp_path)
    before = contents(tmp_path)
    changes = {option: str(tmp_path / folder) for option, folder in changes.items()}
    assert re.search(told, refusal(job_in(tmp_path, **changes, **RESUME)), flags=re.DOTALL)
    assert contents(tmp_path) == before


@pytest.mark.filterwarnings("ignore:--logger.run_dir")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: run.rename(run.with_name("moved")),
        lambda run: (run / "metrics.jsonl").unlink(),
        lambda run: (run / "config.yaml").unlink(),
        lambda run: (run / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "cut'),
        lambda run: (run / "checkpoints/_actor/latest").unlink(),
        lambda run: (run / "checkpoints/_actor/latest").write_bytes(b"\xff\x00"),
        lambda run: (run / "checkpoints/finished.json").write_text("[1]"),
        lambda run: leave_model(job_in(run.parent)),
    ],
    ids="moved no-metrics no-config cut-row no-latest binary-latest no-finished half-saved-model".split(),
)
def test_what_does_not_keep_a_run_from_going_on(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    leave_run(job_in(tmp_path), finished=False)
    spoil(tmp_path / "run")
    config = job_in(tmp_path, **RESUME)
    if not (tmp_path / "run").exists():
        paths = ("logger.run_dir", "logger.tensorboard_dir", "ckpt.path", "ckpt.output_dir")
        config = config.replaced({name: attrgetter(name)(config).replace("/run", "/moved", 1) for name in paths})
    before = contents(tmp_path)
    assert begin(config).tag == "global_step4" and contents(tmp_path) == before


@pytest.mark.filterwarnings("ignore")
def test_damage_of_any_kind_is_refused_by_an_options_name_or_passed_over(tmp_path: Path) -> None:
    """Of the manifest, the options, the records, the pointer and the note that a run is finished."""
    leave_run(job_in(tmp_path))
    config, tried, gone_on = job_in(tmp_path, train__num_episodes=2, **RESUME), 0, 0
    run = tmp_path / "run"
    (run / "config.yaml").unlink()  # read like the other
    for file in (
        run / "checkpoints/_actor/global_step4/manifest.json",
        run / "checkpoints/config.yaml",
        run / "metrics.jsonl",
        run / "checkpoints/_actor/latest",
        run / "checkpoints/finished.json",
    ):
        whole = file.read_bytes()
        for number, damaged in enumerate(damages(whole)):
            file.write_bytes(damaged)
            tried += 1
            before = contents(tmp_path)
            try:
                start = find_start(config)
                gone_on += 1
                assert start.tag in ("global_step4", "global_step2"), (file, number)
                assert start.config.actor.adam.lr == config.actor.adam.lr, (file, number)
            except ConfigError as refused:
                assert re.match(r"--(ckpt.load_enable|logger.run_dir)", str(refused)), (file, number)
            assert contents(tmp_path) == before
        file.write_bytes(whole)
    assert tried > 50 and 10 < gone_on < tried - 10


def damages(whole: bytes) -> Iterator[bytes]:
    """Cut off, emptied, of another kind; and if it is nested, each of some fields dropped, null and of another type."""
    yield from (
        b"",
        b"null",
        b"[]",
        b"7",
        b"text",
        b"\xff\xfe\x00",
        b"{",
        whole[: len(whole) // 2],
        whole[:-2] + b"\x00",
    )
    with contextlib.suppress(yaml.YAMLError):
        values = yaml.safe_load(whole)
        if not isinstance(values, dict):
            return
        for name in list(values)[:6]:
            yield json.dumps({key: value for key, value in values.items() if key != name}).encode()
            yield from (json.dumps(values | {name: other}).encode() for other in (None, [1], "x", {"y": {}}))


# What is told around a job.
def test_a_folder_that_ray_removes_is_warned_of(
    good_job: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "session_1" / "runtime_resources" / "working_dir_files" / "_ray_pkg_1"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    done = attempt(good_job(logger__run_dir="runs/a", ckpt__path=None, ckpt__output_dir=None))
    assert not done.refused
    assert f"--logger.run_dir, --ckpt.path, --ckpt.output_dir: lies in {copy}" in done.warned
    done = attempt(good_job(ckpt__path="checkpoints"))
    assert f"--ckpt.path: lies in {copy}, Ray's own copy" in done.warned
    assert "Ray's own copy" not in attempt(good_job()).warned


def test_other_prompts_than_the_checkpoints_are_refused(good_job: Callable[..., list[str]], tmp_path: Path) -> None:
    """As many as before, so that no option shows it."""
    done = attempt(good_job())
    leave_checkpoints(done.config, "global_step2", prompts=done.prepared.prompts_digest)
    assert attempt(good_job(ckpt__load_enable=True)).prepared.start.tag == "global_step2"
    rows = (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text("".join([*rows[1:], rows[0]]))
    again = attempt(good_job(ckpt__load_enable=True))
    assert again.refused and "the prompts of --data.prompt_dataset are others" in again.message


@pytest.mark.parametrize("saved", [True, False])
def test_an_interrupt_says_how_to_go_on(
    saved: bool, good_job: Callable[..., list[str]], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    if saved:
        leave_checkpoints(job_in(tmp_path), "global_step2")

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "run", interrupted)
    monkeypatch.setattr("sys.argv", ["train", *good_job()])
    assert train_prepo_ray.main() == 130
    told = capsys.readouterr().err
    newest = f"{tmp_path}/run/checkpoints/_actor/global_step2 is complete, and --ckpt.load_enable goes on from it"
    assert f"stopped at once; {newest if saved else 'there is no checkpoint yet'}" in told
