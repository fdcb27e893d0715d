"""The one error that a job ends with once it has started, apart from mistakes in its options.

Boundary: standard library only, so that the command can catch it before anything heavy is imported.
"""

from __future__ import annotations

import traceback
from pathlib import Path

TRACEBACK_FILE = "traceback.txt"


class TrainingStopped(RuntimeError):
    """Training broke off; the message says where, why, and what to go on from."""


class PartDied(TrainingStopped):
    """A process, a node or a server that the job needs is gone, so the same job may go on when it is started again.

    Attributes:
        step: the last whole step; 0 before the first.
        why: the fault alone, without what to go on from.
        for_good: this process cannot start the job again, since Ray itself is gone.
    """

    def __init__(self, message: str, step: int, why: str, for_good: bool = False) -> None:
        super().__init__(message)
        self.step, self.why, self.for_good = step, why, for_good


def how_to_go_on(checkpoints: Path, tag: str | None) -> str:
    """A sentence about the newest checkpoint, None if there is none, for the end of a message."""
    if tag is None:
        return "there is no checkpoint yet, so --ckpt.load_enable or --logger.overwrite begins again with step 1"
    return f"{checkpoints / tag} is complete, and --ckpt.load_enable goes on from it"


def keep_traceback(error: BaseException, run_dir: str) -> str:
    """Write the whole traceback into the run's folder; returns where it is, for the end of a message."""
    path, number = Path(run_dir).absolute() / TRACEBACK_FILE, 1
    while path.exists():  # of an earlier start
        number += 1
        path = path.with_name(TRACEBACK_FILE.replace(".", f"-{number}."))
    try:
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as problem:
        return f"The traceback could not be kept ({problem})."
    return f"The traceback is in {path}"
