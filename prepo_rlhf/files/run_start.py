"""Whether a job starts afresh or goes on, in folders that may hold what another run wrote.

Boundary: looks before Ray starts, and moves what is in the way when models are to be loaded; deletes nothing. What is
in a checkpoint beyond its manifest is DeepSpeed's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from warnings import warn

from prepo_rlhf.config import Config, ConfigError, GivenConfig
from prepo_rlhf.config.base import OnResume
from prepo_rlhf.config.resolve import PATHS_READ
from prepo_rlhf.config.resumption import changed, keep, read_options
from prepo_rlhf.files import checkpoint_manifest, outputs
from prepo_rlhf.files.outputs import ACTOR_FOLDER, CONFIG_FILE, FINISHED_FILE, Place
from prepo_rlhf.files.step_rows import METRICS_FILE, PROMPTS_FILE, read_step_rows

_RAYS_COPY = os.path.join("", "runtime_resources", "working_dir_files", "")  # in Ray's folder of a session


@dataclass(frozen=True)
class Start:
    """How a job begins: the options with which, from which checkpoint (None: afresh), on prompts of which digest; and
    whether there is nothing left to do."""

    config: Config
    tag: str | None = None
    prompts: str = ""
    finished: bool = False

    @property
    def step(self) -> int:
        """The step that the job goes on after; 0 for a fresh start."""
        return checkpoint_manifest.step_of(self.tag) if self.tag else 0


def checkpoint_folder(config: Config) -> Path:
    """Where DeepSpeed's checkpoints are."""
    return Path(config.ckpt.path) / ACTOR_FOLDER


def find_start(config: Config) -> Start:
    """What `--ckpt.load_enable` goes on from, or that the job starts afresh; told on the terminal.

    Raises:
        ConfigError: the folders hold what another run wrote, or a checkpoint that this job cannot go on from.
    """
    _warn_of_rays_copy(config)
    if not config.ckpt.load_enable:
        _check_free(config)
        return Start(config)
    found = _find_checkpoint(config)
    finished = checkpoint_manifest.read_finished(Path(config.ckpt.path) / FINISHED_FILE)
    if found.tag is not None:
        config = _carry_over(config)
    if finished is not None and finished.tag == found.tag and _nothing_left(config, finished):
        return Start(config, found.tag, finished=True)
    if found.tag is None:
        print(f"--ckpt.load_enable: there is no checkpoint in {config.ckpt.path}, so the run starts afresh", flush=True)
        _check_unread(config, outputs.places(config))
        return Start(config)
    start = Start(config, found.tag, found.prompts)
    _check_rows(Path(config.logger.run_dir), start.step)
    print(f"Going on after step {start.step}, from {checkpoint_folder(config).absolute() / found.tag}", flush=True)
    return start


def make_way(start: Start) -> None:
    """Set aside what stands where the job is about to write, and point to the checkpoint that it goes on from.

    Raises:
        ConfigError: something cannot be moved, or has come there since `find_start`.
    """
    config, in_the_way = start.config, outputs.places(start.config)
    if start.tag is not None:
        checkpoint_manifest.point_latest(checkpoint_folder(config), start.tag)
        # The run's own model: it was finished, and is now trained further, or was stopped while it saved it.
        in_the_way = [place for place in in_the_way if place.option == "--ckpt.output_dir"]
    elif not config.ckpt.load_enable:
        _check_free(config)
    try:
        folders = outputs.set_aside(in_the_way)
    except OSError as error:
        raise ConfigError(
            f"{error.filename}, which another run wrote, cannot be set aside ({error.strerror}): move it yourself, or "
            "give other folders to --logger.run_dir, --ckpt.path and --ckpt.output_dir"
        ) from error
    for folder in folders:
        print(f"What stood in {folder.parent} is now in {folder}", flush=True)


def _check_free(config: Config) -> None:
    """Refuse a fresh start where another run has written, unless that may be set aside."""
    places = outputs.places(config)
    if config.logger.overwrite:
        _check_unread(config, places)
        return
    if taken := [(place, held) for place in places if (held := place.held())]:
        told = "; ".join(f"{place.option} {place.folder} holds {_names(held)}" for place, held in taken)
        raise ConfigError(
            f"{told}: another run wrote that. Give --ckpt.load_enable to go on with that run, --logger.overwrite to "
            "set it aside in a dated folder (nothing is deleted), or other folders"
        )


def _check_unread(config: Config, places: Sequence[Place]) -> None:
    """Refuse to set aside what the job itself reads, such as the model to start from."""
    moved = [Path(os.path.realpath(path)) for place in places for path in place.held()]
    read = {name: [attrgetter(name)(config)] for name in PATHS_READ}
    read |= {name: (attrgetter(name)(config) or "").split(",") for name in ("data.prompt_dataset", "eval.dataset")}
    for name, paths in read.items():
        for path in paths:
            if not path or not os.path.exists(path):
                continue
            real = Path(os.path.realpath(path))
            if any(real.is_relative_to(theirs) or real == theirs.parent for theirs in moved):
                raise ConfigError(
                    f"--{name} {path} is among what another run wrote, which would be set aside: give other folders to "
                    "--logger.run_dir, --ckpt.path and --ckpt.output_dir"
                )


def _names(paths: Sequence[Path]) -> str:
    names = [path.name for path in paths]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _find_checkpoint(config: Config) -> checkpoint_manifest.Resumable:
    try:
        found = checkpoint_manifest.find_resumable(checkpoint_folder(config))
    except checkpoint_manifest.DamagedCheckpoints as damaged:
        raise ConfigError(
            f"--ckpt.load_enable: no checkpoint in {config.ckpt.path} can be gone on from ({damaged}): "
            "bring back a whole copy, or give another --ckpt.path to start afresh"
        ) from damaged
    for fault in found.passed_over:
        warn(f"--ckpt.load_enable: passed over {fault}; going on from {found.tag}", stacklevel=2)
    return found


def _carry_over(config: Config) -> Config:
    """The options that the run goes on with. Raises ConfigError if it would not be the run that was begun."""
    try:
        saved = read_options(Path(config.ckpt.path) / CONFIG_FILE)
    except ConfigError as error:
        raise ConfigError(
            f"--ckpt.load_enable: the options of the checkpoints: {error}. Bring back a whole copy, or give another "
            "--ckpt.path to start afresh"
        ) from error
    if differences := changed(saved, config, OnResume.SAME):
        raise ConfigError(
            f"--ckpt.load_enable: the checkpoint in {config.ckpt.path} is of other options: {'; '.join(differences)}. "
            "Give the old values, or another --ckpt.path to start afresh"
        )
    _check_own(config, saved)
    for line in changed(saved, config, OnResume.KEPT):
        print(f"{line}: the checkpoint's value is kept", flush=True)
    for line in changed(saved, config, OnResume.TAKES_EFFECT):
        print(f"{line}: that takes effect", flush=True)
    if config.train.enable_ema:
        warn(
            "--train.enable_ema: the moving average is not in the checkpoint, so it begins again at the model of "
            "--actor.model_name_or_path",
            stacklevel=2,
        )
    return keep(saved, config)


def _check_own(config: Config, saved: GivenConfig) -> None:
    """Refuse to go on in the records, or over the model, of another run than the checkpoint's."""
    run_dir, options = Path(config.logger.run_dir), Path(config.logger.run_dir) / CONFIG_FILE
    before = {place.option: place.folder for place in outputs.places(saved)}
    if known := options.is_file():
        try:
            differences = changed(read_options(options), config, OnResume.SAME)
        except ConfigError as error:
            raise ConfigError(
                f"--logger.run_dir {run_dir}: {error}. Bring back a whole copy, or move it away"
            ) from error
        if differences:
            raise ConfigError(
                f"--logger.run_dir {run_dir}: the records there are of another run than the checkpoint in "
                f"{config.ckpt.path}: {'; '.join(differences)}. Give the checkpoint's own folder, or an empty one"
            )
    for place in outputs.places(config):
        moved_along = known and place.folder.is_relative_to(os.path.abspath(run_dir))
        if place.option == "--ckpt.path" or place.folder == before[place.option] or moved_along:
            continue
        if held := place.held():
            raise ConfigError(
                f"{place.option} {place.folder}: {_names(held)} there are not of the run of the checkpoint in "
                f"{config.ckpt.path}, which wrote to {before[place.option]}: give that, or an empty folder"
            )


def _check_rows(run_dir: Path, step: int) -> None:
    """Refuse records that cannot be gone on with."""
    for name in (METRICS_FILE, PROMPTS_FILE):
        try:
            rows = read_step_rows(run_dir / name) if (run_dir / name).is_file() else []
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"--logger.run_dir {run_dir}: {error}. Mend that line, or move {name} away, and the run "
                "begins a new one"
            ) from error
        if rows and max(row["step"] for row in rows) < step:
            warn(
                f"--logger.run_dir {run_dir}: {name} ends before step {step}, which the run goes on from", stacklevel=2
            )


def _nothing_left(config: Config, finished: checkpoint_manifest.Finished) -> bool:
    """Whether a finished run is asked for nothing more, which is told."""
    model = next(place for place in outputs.places(config) if place.option == "--ckpt.output_dir")
    if config.train.num_episodes > finished.num_episodes or not model.held():
        return False
    print(
        f"--ckpt.load_enable: the run in {config.ckpt.path} is finished, after step {finished.step}, and its model is "
        f"in {model.folder}. To train it further give more than --train.num_episodes {finished.num_episodes}; to save "
        "its model again, another --ckpt.output_dir; for a new run, other folders, or --logger.overwrite without "
        "--ckpt.load_enable",
        flush=True,
    )
    return True


def _warn_of_rays_copy(config: Config) -> None:
    """Tell which folders lie in the copy of the working directory that Ray makes for a job, and removes."""
    run_dir = os.path.abspath(config.logger.run_dir)
    lost = [
        place.option
        for place in outputs.places(config)
        if _RAYS_COPY in f"{place.folder}{os.sep}" and not place.folder.is_relative_to(f"{run_dir}{os.sep}tensorboard")
    ]
    if lost:
        warn(
            f"{', '.join(lost)}: lies in {os.getcwd()}, Ray's own copy of the working directory of a submitted job, "
            f"which Ray removes some time after the job: give absolute paths outside it to {', '.join(lost)}",
            stacklevel=2,
        )
