"""Requests that enter a vLLM engine together and in order, so that the same ones share its batches every time.

What vLLM computes for a token depends, in its last bits, on what else is in the batch; and requests that arrive one
by one are batched as their timing has it. Boundary: vLLM's async engine.
"""

from __future__ import annotations

import asyncio
from typing import Any

Wave = tuple[int, int]
"""A request's place in its wave, from 0, and the number of requests of the wave."""


class RequestWaves:
    """Holds requests back until their wave is complete. One wave at a time, and nothing else in the engine."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._arrived: dict[int, tuple[tuple[Any, ...], asyncio.Future[Any]]] = {}

    async def add(self, wave: Wave, *request: Any) -> Any:
        """`engine.add_request(*request)` when the whole wave has arrived; vLLM's queue of the request's outputs."""
        place, size = wave
        added = asyncio.get_running_loop().create_future()
        self._arrived[place] = request, added
        if len(self._arrived) == size:
            await self._add_all()
        return await added

    async def _add_all(self) -> None:
        arrived, self._arrived = self._arrived, {}
        await self._engine.pause_generation(mode="keep", clear_cache=False)
        try:
            for _, (request, added) in sorted(arrived.items()):
                try:
                    added.set_result(await self._engine.add_request(*request))
                except Exception as error:  # belongs to whoever waits for this request
                    added.set_exception(error)
        finally:
            await self._engine.resume_generation()
