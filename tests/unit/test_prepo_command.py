"""`prepo COMMAND` is the command's module, whatever else is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from tiny_tasks import ROOT

from prepo_rlhf.backends.missing import STACK, missing_library
from prepo_rlhf.cli.entry import command
from prepo_rlhf.cli.prepo import COMMANDS


def prepo(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prepo_rlhf.cli.prepo", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_it_lists_its_commands_and_runs_them() -> None:
    listed = prepo()
    assert listed.returncode == 0 and all(f"  {name} " in listed.stdout for name in COMMANDS)
    unknown = prepo("learn")
    assert unknown.returncode == 2 and "prepo learn: no such command" in unknown.stderr
    assert all((ROOT / "prepo_rlhf" / "cli" / f"{module}.py").is_file() for module, _ in COMMANDS.values())
    refused = prepo("plan", "--no_such_option", "1")
    assert refused.returncode == 2 and "--no_such_option" in refused.stderr


@pytest.mark.parametrize("words", ["train --help-all", "plan --model Qwen/Qwen3-4B"])
def test_nothing_is_said_where_nobody_reads(words: str) -> None:
    """As in `prepo train --help-all | head`, once head has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "prepo_rlhf.cli.prepo", *words.split()]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_another_pipe_that_breaks_is_no_silent_end() -> None:
    @command("some")
    def main() -> int:
        raise BrokenPipeError("of a worker")

    with pytest.raises(BrokenPipeError, match="of a worker"):
        main()


@pytest.mark.parametrize("name", ["prepo_rlhf.no_such_module", "json.no_such_module", None])
def test_only_a_library_that_is_not_there_is_told_as_missing(name: str | None) -> None:
    assert missing_library(ModuleNotFoundError(name=name)) is None
    assert "needs no_such_library, " in (missing_library(ModuleNotFoundError(name="no_such_library.part")) or "")


def test_the_scripts_that_install_are_there() -> None:
    named = re.findall(r"\w+\.sh", STACK)
    assert named and all((ROOT / "examples" / "scripts" / name).is_file() for name in named)
