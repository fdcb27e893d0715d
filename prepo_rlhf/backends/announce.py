"""Says what a start is doing, and for how long, while it takes its time.

Boundary: standard library; a stream, and a thread that writes to it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TextIO

EVERY = 5.0  # seconds between two words about what still lasts; a tenth of the time so far where that is more


@contextmanager
def announced(what: str, stream: TextIO | None = None, every: float = EVERY) -> Generator[None]:
    """Print `what` is being done, on stdout or another `stream`, and again every few seconds how long it has taken."""
    stream, start, done = stream or sys.stdout, time.monotonic(), Event()

    def go_on() -> None:
        elapsed = 0.0
        while not done.wait(max(every, elapsed / 10)):
            elapsed = time.monotonic() - start
            print(f"{what}: {elapsed:.0f} s", file=stream, flush=True)

    print(f"{what} ...", file=stream, flush=True)
    thread = Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
