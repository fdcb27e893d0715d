"""The one error that a job ends with once it has started, apart from mistakes in its options.

Boundary: standard library only, so that the command can catch it before anything heavy is imported.
"""

from __future__ import annotations

import traceback
from pathlib import Path

TRACEBACK_FILE = "traceback.txt"


class TrainingStopped(RuntimeError):
    """Training broke off; the message says where, why, and what to go on from."""


def keep_traceback(error: BaseException, run_dir: str) -> str:
    """Write the whole traceback into the run's folder; returns where it is, for the end of a message."""
    path = Path(run_dir).absolute() / TRACEBACK_FILE
    try:
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as problem:
        return f"The traceback could not be kept ({problem})."
    return f"The traceback is in {path}"
