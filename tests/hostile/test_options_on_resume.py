"""Every option with another value than the checkpoint's run had: refused, kept or taken, as its class says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from job_folders import job_in, leave_checkpoints

from prepo_rlhf.config import ConfigError, GivenConfig, from_dict, to_yaml
from prepo_rlhf.config.base import OnResume, Options, flatten
from prepo_rlhf.config.resumption import changed, classes_of, keep, on_resume
from prepo_rlhf.files.run_start import find_start

OPTIONS = {name: attrgetter(name)(GivenConfig()) for name in on_resume()}
OF_A_START = {"ckpt.load_enable", "logger.overwrite", "logger.wandb.run_name", "logger.wandb.key", "local_rank"}
# One of each class in each group that has it, through the checkpoint's own files.
THROUGH_FILES = {
    "actor.adam.betas": ((0.8, 0.9), OnResume.KEPT),
    "actor.lr_scheduler": ("constant", OnResume.KEPT),
    "actor.eps_clip_low_high": ((0.1, 0.1), OnResume.SAME),
    "actor.trust_remote_code": (True, OnResume.TAKES_EFFECT),
    "algo.kl.init_coef": (0.1, OnResume.SAME),
    "data.max_len": (300, OnResume.SAME),
    "ds.zero_stage": (3, OnResume.SAME),
    "reward.remote_url": ("http://elsewhere:8000", OnResume.TAKES_EFFECT),
    "train.num_episodes": (2, OnResume.TAKES_EFFECT),
    "rollout.temperature": (0.5, OnResume.SAME),
    "eval.steps": (3, OnResume.TAKES_EFFECT),
    "eval.temperature": (0.1, OnResume.SAME),
}


def kind_of(name: str) -> Any:
    """The annotation of an option's field."""
    group, *path = (GivenConfig, *name.split("."))
    for part in path[:-1]:
        group = get_type_hints(group)[part]
    return get_type_hints(group)[path[-1]]


def another(kind: Any, value: Any) -> Any:
    """Another value of this type, within the bounds of all the options that there are."""
    if get_origin(kind) is Annotated:
        return another(get_args(kind)[0], value)
    if get_origin(kind) in (Union, UnionType):
        return another(next(part for part in get_args(kind) if part is not type(None)), value)
    if get_origin(kind) is Literal:
        return next(choice for choice in get_args(kind) if choice != value)
    if get_origin(kind) is tuple:
        return (0.25, 0.75) if tuple(value or ()) != (0.25, 0.75) else (0.2, 0.8)
    if dict in (kind, get_origin(kind)):
        return (value or {}) | {"x": True}
    if kind is bool:
        return not value
    if kind is str:
        return f"{value}x" if value else "x"
    if kind is int:
        return 1 if value in (None, 2) else (value + 1 if value != 3 else 1)
    assert kind is float, kind
    return 0.5 if value is None or value != 0.5 and not math.isinf(value) else 0.75


@pytest.mark.parametrize("name", OPTIONS)
def test_another_value(name: str) -> None:
    saved = from_dict({})
    value = another(kind_of(name), OPTIONS[name])
    now = job_in(Path("run")).replaced({option: attrgetter(option)(saved) for option in OPTIONS} | {name: value})
    line = [] if name in OF_A_START else [f"--{name} was "]
    for kind in OnResume:
        told = [text[: len(f"--{name} was ")] for text in changed(saved, now, kind)]
        assert told == (line if kind is on_resume()[name] else [])
    kept = attrgetter(name)(keep(saved, now))
    assert kept == (attrgetter(name)(saved) if on_resume()[name] is OnResume.KEPT else value)
    assert from_dict({}) == saved and to_yaml(now)


@pytest.mark.parametrize("name", THROUGH_FILES)
def test_through_the_checkpoints_own_files(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value, kind = THROUGH_FILES[name]
    assert on_resume()[name] is kind
    begun, now = job_in(tmp_path), job_in(tmp_path, ckpt__load_enable=True).replaced({name: value})
    leave_checkpoints(begun, "global_step2")
    old = attrgetter(name)(begun)
    shown = [repr(list(x) if isinstance(x, tuple) else x) for x in (old, value)]
    line = f"--{name} was {shown[0]} and is now {shown[1]}"
    if kind is OnResume.SAME:
        with pytest.raises(ConfigError) as refused:
            find_start(now)
        assert line in str(refused.value) and "Give the old values" in str(refused.value)
        return
    start = find_start(now)
    end = "the checkpoint's value is kept" if kind is OnResume.KEPT else "that takes effect"
    assert f"{line}: {end}\n" in capsys.readouterr().out
    assert attrgetter(name)(start.config) == (old if kind is OnResume.KEPT else value)
    assert start.config.replaced({name: value}) == now


def test_an_option_without_a_class_is_found() -> None:
    @dataclass(frozen=True)
    class Group(Options):
        steps: int = 1

    @dataclass(frozen=True)
    class Classed(Options):
        on_resume: ClassVar[OnResume] = OnResume.SAME
        steps: int = 1
        size: Annotated[int, OnResume.KEPT] = 1

    with pytest.raises(TypeError, match="--new.steps: neither its field nor Group says"):
        classes_of(Group, "new.")
    assert classes_of(Classed, "new.") == {"new.steps": OnResume.SAME, "new.size": OnResume.KEPT}
    assert {name for name, _ in flatten(GivenConfig().to_dict())} <= on_resume().keys()
