"""Which requests an engine gets together is decided by who takes part, never by how long anyone takes.

The engine here only notes what it is told: in numbers a batch shows on some CPUs alone. With vLLM's own:
`tests/stack/test_request_waves.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from prepo_rlhf.ray.request_waves import RequestWaves

TURNS = [1, 3, 0, 2, 3, 1]  # requests of each one that takes part


class NotingEngine:
    """The three calls of vLLM's async engine that a wave consists of."""

    def __init__(self, refuse: str | None = None) -> None:
        self.notes: list[str] = []
        self._refuse = refuse

    async def pause_generation(self, mode: str, clear_cache: bool) -> None:
        self.notes.append("pause")
        await asyncio.sleep(0.01)

    async def add_request(self, name: str) -> str:
        if name == self._refuse:
            raise ValueError(name)
        self.notes.append(name)
        return name

    async def resume_generation(self) -> None:
        self.notes.append("resume")


def notes_of(engine: NotingEngine, delay: Callable[[], float], repeats: int = 1) -> tuple[list[str], list[object]]:
    """What the engine was told, and what came of each one that took part."""
    waves = RequestWaves(engine)

    async def take_part(place: int) -> None:
        await asyncio.sleep(delay())
        async with waves.taking_part((place, len(TURNS))) as ask:
            for turn in range(TURNS[place]):
                await asyncio.sleep(delay())
                assert await ask(f"{place}.{turn}") == f"{place}.{turn}"

    async def all_of_them() -> list[object]:
        ends = []
        for _ in range(repeats):
            ends += await asyncio.gather(*map(take_part, range(len(TURNS))), return_exceptions=True)
        return ends

    ends = asyncio.run(all_of_them())
    return engine.notes, ends


WAVES = [["0.0", "1.0", "3.0", "4.0", "5.0"], ["1.1", "3.1", "4.1"], ["1.2", "4.2"]]


def as_notes(waves: list[list[str]]) -> list[str]:
    return [note for wave in waves for note in ("pause", *wave, "resume")]


@pytest.mark.parametrize("seed", range(5))
def test_waves_are_the_same_whatever_the_delays(seed: int) -> None:
    delays = random.Random(seed)
    notes, ends = notes_of(NotingEngine(), lambda: delays.choice([0, 0.001, 0.02]), repeats=2)
    assert notes == as_notes(WAVES * 2)
    assert ends == [None] * 2 * len(TURNS)


def test_one_that_fails_takes_part_no_longer_and_holds_nobody_up() -> None:
    notes, ends = notes_of(NotingEngine(refuse="4.1"), lambda: 0)
    kept = [[name for name in wave if name not in ("4.1", "4.2")] for wave in WAVES]
    assert notes == as_notes(kept)
    assert [str(end) for end in ends] == ["None"] * 4 + ["4.1", "None"]
