"""`prepo COMMAND` is the command's module, whatever else is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_tasks import ROOT

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


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in front of the others, whose `rich` is none, stands for an environment without it."""
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError('no rich here', name='rich')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    missing = prepo("summary", "/nowhere")
    assert missing.returncode == 2 and "prepo summary: needs rich, which is not installed" in missing.stderr
