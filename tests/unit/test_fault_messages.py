"""What is told of the errors that Ray hands to the driver; real deaths are in tests/stack and tests/long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import OutOfMemoryError, RayTaskError

from prepo_rlhf.ray.faults import LONGEST_REASON, Faults, reason

RANKS = ["a1" * 16, "a2" * 16]
# As Ray 2.55 says it, but for what follows.
FULL_NODE = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.2, ID: 3a05) was "
    "22.40GB / 23.54GB (0.951508), which exceeds the memory usage threshold of 0.950000; Ray killed 1 worker(s) based "
    f"on the killing policy: [(Actor({RANKS[1]}): job ID=01000000, task name=PolicyActor.__init__)]"
)


def handles() -> list[Any]:
    """Of two actors with the ids `RANKS`."""
    return [SimpleNamespace(_actor_id=SimpleNamespace(hex=lambda rank=rank: rank)) for rank in RANKS]


@pytest.fixture
def faults() -> Faults:
    """Of a job with two policy ranks."""
    return Faults({"policy rank": handles(), "reference rank": []})


def test_a_node_without_memory(faults: Faults) -> None:
    told = faults.describe(OutOfMemoryError(FULL_NODE))
    assert told == "Ray killed policy rank 1, since its node was short of memory: 22.40GB / 23.54GB"
    assert faults.describe(OutOfMemoryError("no")) == "Ray killed a Ray actor, since its node was short of memory"


def test_what_an_actor_raised_is_told_as_if_it_had_been_raised_here(faults: Faults) -> None:
    error = RayTaskError("fit", "Traceback ...", ValueError("a long story\nof several lines"))
    nested = RayTaskError("fit", "Traceback ...", error)
    assert faults.describe(error) == faults.describe(nested) == "ValueError: a long story"
    assert reason(KeyError()) == "KeyError" and len(reason(ValueError("x" * 9999))) < LONGEST_REASON + 20
