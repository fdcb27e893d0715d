"""Lets processes start without running their owner's main module again.

Python's fork server (3.11), and `spawn`, have every new process run the script that its owner was started with, as it
may have to call a function of that script. So a script without a `__main__` guard would start workers in its workers,
and a worker of a Ray actor would import Ray. Workers that call functions of modules alone need none of it.
Boundary: one function of multiprocessing, and processes of the given names alone.
"""

from __future__ import annotations

from functools import cache, wraps
from multiprocessing import spawn
from typing import Any

from prepo_rlhf.backends import internals

_KEYS = ("init_main_from_name", "init_main_from_path")


@cache
def replace_main_module(process_name: str, module: str | None = None) -> None:
    """From now on, processes called `process_name` run `module` first instead of the main module, or none."""
    prepare = internals.require("multiprocessing.spawn:get_preparation_data")

    @wraps(prepare)
    def with_another_main(name: str) -> dict[str, Any]:
        data = prepare(name)
        if name != process_name:
            return data
        kept = {key: value for key, value in data.items() if key not in _KEYS}
        return kept if module is None else kept | {"init_main_from_name": module}

    spawn.get_preparation_data = with_another_main
