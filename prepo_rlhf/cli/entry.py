"""What ends every command alike: a reader that has gone away, and a library that is not installed.

Boundary: standard library only; what else can go wrong is the commands' own.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from prepo_rlhf.backends.missing import missing_library

Given = ParamSpec("Given")


def command(name: str) -> Callable[[Callable[Given, int]], Callable[Given, int]]:
    """Decorates the `main` of the command `name`.

    It returns 2 with a sentence on stderr where the training stack is needed and not installed; and 1, silently, where
    nothing reads stdout any more, as after `--help | head`.
    """

    def decorated(main: Callable[Given, int]) -> Callable[Given, int]:
        @wraps(main)
        def run(*args: Given.args, **kwargs: Given.kwargs) -> int:
            try:
                try:
                    return main(*args, **kwargs)
                finally:
                    sys.stdout.flush()  # here, and not when Python ends, which would print the error
            except ModuleNotFoundError as error:
                if not (told := missing_library(error)):
                    raise
                print(f"{name}: {told}", file=sys.stderr)
                return 2
            except BrokenPipeError:
                if not _reader_is_gone():
                    raise
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # takes what is left in the buffer
                return 1

        return run

    return decorated


def _reader_is_gone() -> bool:
    """Whether stdout is a pipe that nothing reads from any more."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
