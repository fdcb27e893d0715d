"""A sentence about a library of the training stack that is not installed.

The core (reports, summaries, plans of known models) does without the stack, so that it may well be missing.
Boundary: standard library only.
"""

from __future__ import annotations

from importlib.util import find_spec

STACK = (
    "the training stack, which the extras cpu and gpu of prepo-rlhf name (in a clone, examples/scripts/setup_cpu.sh or "
    "setup_gpu.sh installs all of it)"
)


def missing_library(error: ModuleNotFoundError) -> str | None:
    """What is missing and how to get it; None if it is none of the stack that is missing, but a module of this package,
    or one of a library that is installed."""
    library = (error.name or "").partition(".")[0]
    if library in ("", "prepo_rlhf") or find_spec(library) is not None:
        return None
    return f"needs {library}, which is not installed: install {STACK}"
