"""Which runs are averaged as one curve: those that differ only in their seed, or those that the user names.

Boundary: looks at the options of runs, not at what they measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from prepo_rlhf.analysis.runs import Run
from prepo_rlhf.config.base import ConfigError

# What a run computes. The other groups of options say where it runs, what it writes and how it is evaluated.
SECTIONS = ("prepo", "algo", "rollout", "actor", "data", "reward", "train")
SEED, SELECTOR = "train.seed", "prepo.selector"


class Group(NamedTuple):
    """Runs that are shown as one curve: their mean."""

    name: str
    runs: tuple[Run, ...]


def table_of_runs(groups: Sequence[Group], table: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
    """`table` of every run, one below the other, after the columns group, run and seed."""
    keys = ["group", "run", "seed"]
    tables = {(group.name, run.name, run.seed): table(run) for group in groups for run in group.runs}
    return pd.concat(tables, names=keys).reset_index(keys).reset_index(drop=True)


def make_groups(runs: Sequence[Run], requests: Sequence[str]) -> list[Group]:
    """The groups that `--group NAME=RUN[,RUN...]` asks for, then those of the other runs, by their options.

    A RUN is the name of a run or the path of its folder; * and ? stand for any text and any character. Raises
    ConfigError for a request that cannot be met.
    """
    names = _requested(runs, requests)
    named = [
        Group(name, tuple(run for run in runs if names.get(run.name) == name)) for name in dict.fromkeys(names.values())
    ]
    others = group_by_options([run for run in runs if run.name not in names])
    for group in others:
        if group.name in names.values():
            raise ConfigError(f"--group {group.name}: other runs are called that already; give another name")
    return named + others


def group_by_options(runs: Sequence[Run]) -> list[Group]:
    """Runs whose options under SECTIONS are equal but for the seed.

    They are named by the selector, by the options of prepo that differ, and by as few others as tell them apart.
    """
    by_options: dict[str, list[Run]] = {}
    for run in runs:
        by_options.setdefault(str(sorted(relevant_options(run).items())), []).append(run)
    members = list(by_options.values())
    naming = _naming_options([group[0] for group in members])
    return [Group(_name(group[0].options, naming), tuple(group)) for group in members]


def relevant_options(run: Run) -> dict[str, Any]:
    """The options under SECTIONS without the seed."""
    return {name: value for name, value in run.options.items() if name.split(".")[0] in SECTIONS and name != SEED}


def differing_options(runs: Sequence[Run]) -> list[str]:
    """Names of the relevant options in which any two of the runs differ, in the order of SECTIONS."""
    options = [relevant_options(run) for run in runs]
    names = dict.fromkeys(name for one in options for name in one)
    differing = [name for name in names if len({str(one.get(name)) for one in options}) > 1]
    return sorted(differing, key=lambda name: SECTIONS.index(name.split(".")[0]))


def _naming_options(runs: Sequence[Run]) -> list[str]:
    """Options that tell these runs, which all differ, from each other, beside the selector."""
    names = [SELECTOR]

    def told_apart(names: Sequence[str]) -> int:
        return len({str([run.options.get(name) for name in names]) for run in runs})

    for name in differing_options(runs):
        if name != SELECTOR and (name.startswith("prepo.") or told_apart([*names, name]) > told_apart(names)):
            names.append(name)
    return names[1:]


def _name(options: Mapping[str, Any], naming: Sequence[str]) -> str:
    short = [name.split(".")[-1] for name in naming]
    shown = [last if short.count(last) == 1 else name for last, name in zip(short, naming, strict=True)]
    details = [f"{label}={options.get(name)}" for label, name in zip(shown, naming, strict=True)]
    return ", ".join([str(options[SELECTOR]), *details])


def _requested(runs: Sequence[Run], requests: Sequence[str]) -> dict[str, str]:
    """Run -> the group that it was put into."""
    names: dict[str, str] = {}
    for request in requests:
        name, found, patterns = request.partition("=")
        if not (name and found and patterns):
            raise ConfigError(f"--group {request}: give NAME=RUN, or NAME=RUN,RUN")
        for pattern in patterns.split(","):
            members = [run for run in runs if _is_called(run, str(Path(pattern)))]
            if not members:
                raise ConfigError(f"--group {request}: none of --runs is called {pattern}")
            for run in members:
                if names.setdefault(run.name, name) != name:
                    raise ConfigError(f"--group {request}: {run.name} is in group {names[run.name]} already")
    return names


def _is_called(run: Run, pattern: str) -> bool:
    return any(text == pattern or fnmatchcase(text, pattern) for text in (run.name, str(run.folder)))
