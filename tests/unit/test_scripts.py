"""What the example scripts must not do to the machine they run on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tiny_tasks import ROOT

SCRIPTS = sorted((ROOT / "examples" / "scripts").glob("*.sh"))


def ray_heads(script: str) -> list[list[str]]:
    """The words of each command of a script that starts a Ray head."""
    code = re.sub(r"^\s*#.*$", "", script, flags=re.M).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in code.splitlines() if re.search(r"\bray start\b.*--head", line)]


def test_a_head_is_found_however_it_is_written() -> None:
    assert ray_heads("# ray start --head\nray start --address x\n") == []
    assert ray_heads("nohup ray start \\\n  --head --port 1 # why\n") == ["nohup ray start --head --port 1".split()]
    assert any(ray_heads(path.read_text()) for path in SCRIPTS)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_dashboard_is_on_loopback_unless_asked_for(path: Path) -> None:
    script = path.read_text()
    for words in ray_heads(script):
        joined = " ".join(words)
        host = re.search(r"--dashboard-host[ =](\S+)", joined)
        assert host, f"{joined}: no --dashboard-host"
        assert re.fullmatch(r"127\.0\.0\.1|\$\{\w+:-127\.0\.0\.1\}", host[1]), joined


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_stopped_job_has_time_to_save(path: Path) -> None:
    """More than the three seconds after which a Ray head by itself kills it."""
    script = path.read_text()
    if ray_heads(script):
        seconds = re.search(r"^export RAY_JOB_STOP_WAIT_TIME_S=(?:\$\{\w+:-)?(\d+)", script, flags=re.M)
        assert seconds and int(seconds[1]) >= 60
