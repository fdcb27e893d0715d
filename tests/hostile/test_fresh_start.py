"""A job that starts afresh where something stands: refused, or it is set aside, and nothing is ever lost."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attempts import attempt
from job_folders import (
    LAYOUTS,
    OVERWRITE,
    RESUME,
    begin,
    contents,
    job_in,
    leave_model,
    leave_records,
    leave_run,
    names,
    refusal,
    write,
)

from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.files import outputs
from prepo_rlhf.files.run_start import Start, find_start, make_way
from prepo_rlhf.trainer.stopped import keep_traceback

# What stands there -> the option whose folder it is in, None where it is nobody's record.
STANDING: dict[str, str | None] = {
    "run/metrics.jsonl": "--logger.run_dir",
    "run/prompts.jsonl": "--logger.run_dir",
    "run/config.yaml": "--logger.run_dir",
    "run/tensorboard/events.out.tfevents.17.host.1.0": "--logger.tensorboard_dir",
    "run/checkpoints/_actor/zero_to_fp32.py": "--ckpt.path",
    "run/checkpoints/_actor/global_step2/half-written.pt": "--ckpt.path",
    "run/checkpoints/config.yaml": "--ckpt.path",
    "run/checkpoints/finished.json": "--ckpt.path",
    "run/checkpoints/global_step2_hf/model.safetensors": "--ckpt.path",
    "run/checkpoints/best_global_step2_hf/config.json": "--ckpt.path",
    "run/model/config.json": "--ckpt.output_dir",
    "run/model/model.safetensors": "--ckpt.output_dir",
    "run/model/model-00001-of-00003.safetensors": "--ckpt.output_dir",
    "run/model/pytorch_model.bin": "--ckpt.output_dir",
    "run/model/adapter_config.json": "--ckpt.output_dir",
    "run/model/adapter_model.safetensors": "--ckpt.output_dir",
    "run/job.log": None,
    "run/traceback.txt": None,
    "run/reward.py": None,
    "run/rows.jsonl": None,
    "run/policy/config.json": None,
    "run/before-2026-01-01-000000/metrics.jsonl": None,
    "run/tensorboard/another/events.out.tfevents.17.host.1.0": None,
    "run/checkpoints/notes.txt": None,
    "run/checkpoints/my_actor/zero_to_fp32.py": None,
    "run/model/README.md": None,
    "run/model/tokenizer.json": None,
}


@pytest.mark.parametrize("name", STANDING)
def test_a_fresh_start_where_something_stands(name: str, tmp_path: Path) -> None:
    """Refused with both ways out if a job wrote that; set aside if asked; left alone if it is nobody's record."""
    write(tmp_path / name, f"the old {name}")
    option, (before,) = STANDING[name], contents(tmp_path)
    if option is None:
        assert begin(job_in(tmp_path)).tag is None
        assert begin(job_in(tmp_path, **OVERWRITE)).tag is None and names(tmp_path) == {name}
        return
    told = refusal(job_in(tmp_path))
    folder, inside = outputs_folder(job_in(tmp_path), option), Path(name).parts
    assert f"{option} {folder} holds " in told and any(part in told for part in inside)
    assert "--ckpt.load_enable" in told and "--logger.overwrite" in told
    assert names(tmp_path) == {name}
    # Without a whole checkpoint, --ckpt.load_enable is a fresh start as well.
    for ways_out, end in ((OVERWRITE, ""), (RESUME, "(-2)?")):
        write(tmp_path / name, f"the old {name}")
        assert begin(job_in(tmp_path, **ways_out)).tag is None
        assert not (tmp_path / name).exists() and contents(tmp_path)[before] == (1 if ways_out is OVERWRITE else 2)
        assert any(
            re.fullmatch(rf"run/before-[-\d]{{17}}{end}/{re.escape(name[4:])}", left) for left in names(tmp_path)
        )
        begin(job_in(tmp_path))


def outputs_folder(config: Config, option: str) -> Path:
    return next(place.folder for place in outputs.places(config) if place.option == option)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_whole_run_is_set_aside_together(layout: str, tmp_path: Path) -> None:
    """In every layout, twice within a second, and the user's own files stay where they are."""
    run_a, run_b = job_in(tmp_path, layout, train__seed=1), job_in(tmp_path, layout, train__seed=2, **OVERWRITE)
    leave_run(run_a)
    own = [Path(folder) / "mine.txt" for folder in (run_a.logger.run_dir, run_a.ckpt.path, run_a.ckpt.output_dir)]
    for path in own:
        write(path, "mine")
    before = contents(tmp_path)
    assert "another run wrote that" in refusal(run_b.replaced({"logger.overwrite": False}))
    assert begin(run_b).tag is None
    assert contents(tmp_path) == before and all(path.is_file() for path in own)
    assert not any(place.held() for place in outputs.places(run_b))
    leave_run(run_b)
    begin(run_b)
    assert not before - contents(tmp_path)
    assert all(re.search(r"/before-[-\d]+/|mine.txt$", f"/{name}") for name in names(tmp_path))


def test_what_was_set_aside_can_be_gone_on_from(tmp_path: Path) -> None:
    run_a = job_in(tmp_path, train__seed=1)
    leave_run(run_a, finished=False)
    begin(job_in(tmp_path, train__seed=2, **OVERWRITE))
    (folder,) = (tmp_path / "run").glob("before-*")
    again = job_in(folder.parent, train__seed=1, **RESUME)
    moved = {"run_dir": folder, "tensorboard_dir": folder / "tensorboard"}
    again = again.replaced({f"logger.{name}": str(path) for name, path in moved.items()})
    again = again.replaced({"ckpt.path": str(folder / "checkpoints"), "ckpt.output_dir": str(folder / "model")})
    assert find_start(again).tag == "global_step4"


@pytest.fixture
def other_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_checkpoints_on_another_disk_stay_there(tmp_path: Path, other_disk: Path) -> None:
    if other_disk.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no other file system")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(other_disk)
    leave_run(job_in(tmp_path))
    before = contents(tmp_path)
    begin(job_in(tmp_path, **OVERWRITE))
    (folder,) = other_disk.iterdir()
    assert folder.name.startswith("before-") and (folder / "_actor" / "global_step4").is_dir()
    assert (tmp_path / "run" / "checkpoints").is_symlink() and contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"actor__model_name_or_path": "run/model"}, "--actor.model_name_or_path"),
        ({"actor__model_name_or_path": "run/checkpoints/global_step2_hf"}, "--actor.model_name_or_path"),
        ({"data__prompt_dataset": "other.jsonl,run/prompts.jsonl"}, "--data.prompt_dataset"),
        ({"eval__dataset": "run/metrics.jsonl"}, "--eval.dataset"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("how", [OVERWRITE, RESUME], ids=["overwrite", "load_enable"])
def test_what_the_job_reads_is_not_set_aside(
    changes: dict[str, str], option: str, how: dict[str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    leave_records(job_in(tmp_path), 2)
    leave_model(job_in(tmp_path))
    write(tmp_path / "run/checkpoints/global_step2_hf/config.json", "{}")
    assert f"{option} " in refusal(job_in(tmp_path, **changes, **how))


def test_what_cannot_be_moved_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_run(job_in(tmp_path))

    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link", str(source))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(ConfigError, match=r"run/config.yaml, .* cannot be set aside \(Invalid cross-device link\)"):
        make_way(Start(job_in(tmp_path, **OVERWRITE)))


def test_another_job_that_came_first_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    start = find_start(job_in(tmp_path))
    leave_records(job_in(tmp_path), 1)
    with pytest.raises(ConfigError, match="another run wrote that"):
        make_way(start)


def test_a_refused_job_blocks_no_later_one(good_job: Callable[..., list[str]], tmp_path: Path) -> None:
    assert attempt(good_job(data__label_key="nowhere")).refused
    assert attempt(good_job(actor__model_name_or_path="/nowhere")).refused
    done = attempt(good_job())
    assert not done.refused and not names(tmp_path / "run")


def test_tracebacks_of_earlier_starts_stay(tmp_path: Path) -> None:
    told = [keep_traceback(ValueError(str(number)), str(tmp_path)) for number in range(3)]
    assert [text.rpartition("/")[2] for text in told] == ["traceback.txt", "traceback-2.txt", "traceback-3.txt"]
    assert "ValueError: 0" in (tmp_path / "traceback.txt").read_text()
