"""Lets worker processes start without running their owner's main module again.

Python's fork server (3.11) has every new process run the script that its owner was started with, as it may have to call
a function of that script. So a script without a `__main__` guard would start workers in its workers, and a worker of a
Ray actor would import Ray. Workers that call functions of this package alone need none of it.
Boundary: one function of multiprocessing, and processes of the given names alone.
"""

from __future__ import annotations

from functools import cache, wraps
from multiprocessing import spawn
from typing import Any

from prepo_rlhf.backends import internals

_KEYS = ("init_main_from_name", "init_main_from_path")


@cache
def leave_out_main_module(process_name: str) -> None:
    """From now on, processes called `process_name` start without the main module."""
    prepare = internals.require("multiprocessing.spawn:get_preparation_data")

    @wraps(prepare)
    def without_main(name: str) -> dict[str, Any]:
        data = prepare(name)
        return {key: value for key, value in data.items() if name != process_name or key not in _KEYS}

    spawn.get_preparation_data = without_main
