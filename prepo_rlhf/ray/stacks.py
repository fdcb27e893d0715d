"""The Python stacks of processes of this node, and of those that they have started, such as vLLM's cores.

py-spy reads them from outside, of a stopped process too. Where it is not installed, or may not look into other
processes, a process that has called `keep_ready` writes its own, by faulthandler, on a signal.
Boundary: processes of one node, by their ids; which they are, and when, is for `parts`.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

FOLDER_VARIABLE = "PREPO_STACKS"  # where this process, and those that it starts, write their stacks
SIGNAL = signal.SIGUSR2  # the default of which ends a process: sent only to those whose file is there
PY_SPY_LIMIT, HANDLER_LIMIT = 30, 3  # seconds
AT_ONCE = 8  # processes

_file: Any = None  # kept open for the handler


@dataclass(frozen=True)
class Stack:
    """A process: which `part` of the job it is of, its title where it is not the part's own process, its state by
    psutil's name, and the stacks of its threads, or why there are none."""

    part: str
    title: str
    pid: int
    state: str
    text: str


def keep_ready() -> None:
    """Let this process write its stacks when `SIGNAL` comes; an actor, or a process that one has started."""
    global _file
    folder = _folder()
    if folder is None:  # no process of a job
        return
    os.environ[FOLDER_VARIABLE] = folder
    _file = _own_file(os.getpid(), folder).open("w")
    faulthandler.register(SIGNAL, _file, all_threads=True)


def of_node(pids: Mapping[str, int]) -> list[Stack]:
    """The stacks of each part's process, by its id, and of all that it has started."""
    processes = []
    for part, pid in pids.items():
        try:
            process = psutil.Process(pid)
            processes += [(part, each) for each in (process, *process.children(recursive=True))]
        except psutil.Error:
            continue
    with ThreadPoolExecutor(AT_ONCE) as executor:
        found = executor.map(lambda pair: _stack(*pair, own=pair[1].pid in pids.values()), processes)
        return [stack for stack in found if stack is not None]


def end(pids: Mapping[str, int]) -> None:
    """Kill each part's process, then all that it has started: one that is stopped would not see that it is alone."""
    for pid in pids.values():
        try:
            process = psutil.Process(pid)
            started = process.children(recursive=True)
            for each in (process, *started):
                each.kill()
        except psutil.Error:
            continue


def _stack(part: str, process: psutil.Process, own: bool) -> Stack | None:
    try:
        state, title = process.status(), "" if own else (process.cmdline() or [process.name()])[0]
    except psutil.Error:
        return None
    text = _by_py_spy(process.pid)
    if text is None:
        text = _by_handler(process.pid, state)
    return Stack(part, title, process.pid, state, text)


def _by_py_spy(pid: int) -> str | None:
    """None where it is not there, or may not."""
    beside = Path(sys.executable).with_name("py-spy")
    program = str(beside) if beside.is_file() else shutil.which("py-spy")
    if program is None:
        return None
    command = [program, "dump", "--nonblocking", "--pid", str(pid)]  # else it waits for a stopped process
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PY_SPY_LIMIT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _by_handler(pid: int, state: str) -> str:
    file = _own_file(pid, _folder() or "")
    if state == psutil.STATUS_STOPPED:
        return "no stacks: the process is stopped, and py-spy cannot look into it\n"
    if not file.is_file():
        return "no stacks: py-spy cannot look into the process, which writes none itself\n"
    before = file.stat().st_size
    os.kill(pid, SIGNAL)
    time.sleep(HANDLER_LIMIT)
    with file.open("rb") as stacks:
        stacks.seek(before)
        return stacks.read().decode("utf-8", errors="replace")


def _folder() -> str | None:
    """Ray's folder of logs on this node, which is gone with its session; None in a process that Ray does not know."""
    if FOLDER_VARIABLE in os.environ:
        return os.environ[FOLDER_VARIABLE]
    from ray._private import worker  # here: vLLM's processes, which have the variable, do without Ray

    node: Any = worker.global_worker.node
    return node and node.get_logs_dir_path()


def _own_file(pid: int, folder: str) -> Path:
    return Path(folder) / f"stacks-{pid}.txt"
