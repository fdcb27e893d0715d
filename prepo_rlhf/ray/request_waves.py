"""A barrier in front of a vLLM engine: requests enter it together and in a fixed order, so that batches repeat.

What vLLM computes for a token depends, in its last bits, on what else is in the batch; and which requests share a batch
depends on the time at which each arrives. Boundary: vLLM's async engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

Wave = tuple[int, int]
"""The position, from 0, of a caller among those that use an engine together, and their number."""

Ask = Callable[..., Awaitable[Any]]
"""vLLM's `add_request`: gives the queue of the request's outputs."""


class RequestWaves:
    """A barrier: once each caller has submitted a request or finished, all waiting requests enter the engine as a wave.

    A caller of a single request is in one wave. An agent, which sends another request when its environment has
    answered, is in one wave for each turn; a turn starts when the slowest agent has ended the last. No other requests
    are in the engine meanwhile.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._waiting: list[tuple[int, tuple[Any, ...], asyncio.Future[Any]]] = []
        self._done = 0

    @asynccontextmanager
    async def taking_part(self, wave: Wave) -> AsyncGenerator[Ask]:
        """Inside, the caller makes requests with the function that it is given, one after another; at the end it has
        finished."""
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
                except Exception as error:  # of this request alone: raised where it is awaited
                    added.set_exception(error)
        finally:
            await self._engine.resume_generation()
