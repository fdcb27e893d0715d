"""Requests that enter a vLLM engine together and in order, so that the same ones share its batches every time.

What vLLM computes for a token depends, in its last bits, on what else is in the batch; and requests that arrive one
by one are batched as their timing has it. Boundary: vLLM's async engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

Wave = tuple[int, int]
"""A place, from 0, among those that are sent to an engine together, and their number."""

Ask = Callable[..., Awaitable[Any]]
"""vLLM's `add_request`: gives the queue of the request's outputs."""


class RequestWaves:
    """Holds requests back until everyone who takes part waits with one, or is done; then all of them are a wave.

    Whoever asks once is in one wave. An agent, which asks again when its environment has answered, is in one wave a
    turn, and each turn waits for the slowest of the last. Only those sent together are in the engine at a time.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._waiting: list[tuple[int, tuple[Any, ...], asyncio.Future[Any]]] = []
        self._done = 0

    @asynccontextmanager
    async def taking_part(self, wave: Wave) -> AsyncGenerator[Ask]:
        """Inside, requests are made with the function that it gives, one after another; at the end this one is done."""
        place, size = wave
        try:
            yield partial(self._ask, place, size)
        finally:
            self._done += 1
            await self._start_if_complete(size)
            if self._done == size:
                self._done = 0

    async def _ask(self, place: int, size: int, *request: Any) -> Any:
        added = asyncio.get_running_loop().create_future()
        self._waiting.append((place, request, added))
        await self._start_if_complete(size)
        return await added

    async def _start_if_complete(self, size: int) -> None:
        if not self._waiting or len({place for place, _, _ in self._waiting}) < size - self._done:
            return
        waiting, self._waiting = self._waiting, []
        await self._engine.pause_generation(mode="keep", clear_cache=False)
        try:
            for _, request, added in sorted(waiting, key=lambda each: each[0]):
                try:
                    added.set_result(await self._engine.add_request(*request))
                except Exception as error:  # belongs to whoever waits for this request
                    added.set_exception(error)
        finally:
            await self._engine.resume_generation()
