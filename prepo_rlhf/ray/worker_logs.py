"""The log that Ray keeps of an actor's process, and the error in it that the process, or vLLM's part of it, died of.

vLLM computes in a child process of its engine's actor; what that child writes is in the log of the actor.
Boundary: finds and reads files of Ray's session, on whichever node; what a death means for the job is for `faults`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray._private import state, worker
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

TAIL = 2**20  # bytes at the end of a log in which the error is looked for
PATIENCE = 30  # seconds for another node to start a process that reads its file
LAST_LINES = 3  # where there is no error
LONGEST_LINE = 300
# The name of vLLM's process if it wrote the line, and the head that vLLM's logger puts before each line.
_LINE_HEAD = re.compile(
    r"(?:\((?P<process>\w+) pid=\d+\) ?)?(?:(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d [\d:]+ \[[^\]]+\] ?)?"
)
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_FATAL = re.compile(r"Fatal Python error: |\*\*\* SIG|\s+what\(\): |thread '.*' panicked")
# vLLM's words where a process only passes on that another one has died.
TOLD_ELSEWHERE = re.compile(r"EngineDeadError|See (root cause|stack trace) \(?above")
# Ray's marks, what belongs to the line above, progress bars, Python's warnings.
_NOISE = re.compile(r"^(:(job_id|actor_name|task_name):|\s|\W*$)|\d%( Completed )?\||Warning: ")


@dataclass(frozen=True)
class WorkerLog:
    """Where a process's log is, and what it says in the end: an error, if there is one, or else its last lines; None
    for a log that cannot be read any more."""

    path: str
    error: str | None = None
    last_lines: tuple[str, ...] | None = None

    def __str__(self) -> str:
        if self.error:
            return f"the last error in its log is {self.error} ({self.path})"
        if self.last_lines is None:
            return f"its log cannot be reached ({self.path})"
        ending = f" and ends with: {' | '.join(self.last_lines)}" if self.last_lines else ""
        return f"its log holds no error{ending} ({self.path})"


def find_log(actor_id: str) -> WorkerLog | None:
    """The log of an actor, dead or alive, by its id; None for one that never had a process.

    Ray's control store remembers the node and process of dead actors.
    """
    actor: dict[str, Any] = state.actors(actor_id)
    if not actor.get("Pid"):
        return None
    pid, node, address = actor["Pid"], actor["Address"]["NodeID"], actor["Address"]["IPAddress"]
    if node == ray.get_runtime_context().get_node_id():
        return read_log(pid)
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    try:
        log = ray.get(ray.remote(read_log).options(num_cpus=0, scheduling_strategy=there).remote(pid), timeout=PATIENCE)
    except RayError:
        log = WorkerLog(f"worker-*-{pid}.* in the folder logs of Ray's session")
    return log and replace(log, path=f"{log.path} on node {address}")


def read_log(pid: int) -> WorkerLog | None:
    """The log of a process of this node's Ray session, by the process's id."""
    node: Any = worker.global_worker.node
    return read_files(Path(node.get_logs_dir_path()), pid)


def read_files(folder: Path, pid: int) -> WorkerLog | None:
    """The log of a process among those in Ray's folder of logs; None where there is none."""
    files = folder.glob(f"worker-*-{pid}.*")
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)  # ids of processes come again
    if newest is None:
        return None
    streams = {file: _tail(file) for file in (newest.with_suffix(".out"), newest.with_suffix(".err"))}
    errors = [(file, process, error) for file, text in streams.items() for process, error in _errors(text)]
    if errors:
        file, _, error = ([each for each in errors if each[1]] or errors)[-1]  # vLLM's processes before the actor's own
        return WorkerLog(str(file), error)
    lines = [line for text in streams.values() for line in _last_lines(text)]
    return WorkerLog(str(newest.with_suffix(".*")), None, tuple(lines[-LAST_LINES:]))


def _tail(file: Path) -> str:
    if not file.is_file():
        return ""
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - TAIL))
        return _COLOUR.sub("", log.read().decode("utf-8", errors="replace"))


def _errors(text: str) -> Iterator[tuple[str, str]]:
    """The last line of every traceback, and what a process says when it is killed by itself, in their order; with the
    name of vLLM's process, or "" for the actor's own."""
    in_traceback: dict[str, bool] = {}  # by process: their lines may alternate
    for line in text.splitlines():
        head = _LINE_HEAD.match(line)
        assert head is not None  # it may be empty
        process, rest = head["process"] or "", line[head.end() :].rstrip()
        if rest.startswith("Traceback (most recent call last)"):
            in_traceback[process] = True
        elif _FATAL.match(rest):
            yield process, rest.strip()[:LONGEST_LINE]
        elif in_traceback.get(process) and rest and not rest[0].isspace():
            in_traceback[process] = False
            if not TOLD_ELSEWHERE.search(rest):
                yield process, rest[:LONGEST_LINE]


def _last_lines(text: str) -> list[str]:
    lines = [_LINE_HEAD.sub("", line, count=1).rstrip() for line in text.splitlines()]
    return [line[:LONGEST_LINE] for line in lines if not _NOISE.search(line)][-LAST_LINES:]
