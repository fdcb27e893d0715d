"""OpenRLHF's group of ranks, whose calls reach all of them in one order, whichever thread makes them.

Boundary: the order of calls. What is called is often a collective, and a rank in another one would wait for ever.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

from openrlhf.trainer.ray.launcher import RayActorGroup


class RankGroup(RayActorGroup):
    """A thread's call goes to all ranks before another thread's does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._calling = Lock()
        super().__init__(*args, **kwargs)

    def async_run_method(self, method_name: str, *args: Any, **kwargs: Any) -> list[Any]:
        with self._calling:
            return super().async_run_method(method_name, *args, **kwargs)

    def async_run_method_batch(self, method_name: str, **kwargs: Any) -> list[Any]:
        with self._calling:
            return super().async_run_method_batch(method_name, **kwargs)
