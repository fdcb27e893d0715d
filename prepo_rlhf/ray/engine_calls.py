"""Calls to the rollout engines that outlive an engine: what a dead one has not answered is asked of its successor.

Boundary: calls and their answers; what takes the place of a dead engine is for the function that is given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any

import ray
from ray.exceptions import RayError

from prepo_rlhf.ray.faults import is_engine_death

Succeed = Callable[[int, RayError, int], None]
"""Puts a successor with the current weights in an engine's place: given the engine's number, the error of a call to it,
and how many rollouts will be made again. Raises the error where there is to be none."""


@dataclass
class Ask:
    """A method of engine `engine`, its arguments, and how many rollouts it makes."""

    engine: int
    method: str
    arguments: tuple[Any, ...] = ()
    rollouts: int = 0


@dataclass(eq=False)
class EngineCall:
    """An ask under way; `answer` is another one once it has been made again."""

    ask: Ask
    answer: ray.ObjectRef
    received: bool = False


class EngineCalls:
    """Asks the rollout engines, from any thread.

    What is asked at once of one engine is a wave (`request_waves`). With `same_batches` the wave of a lost call is made
    again as a whole, since what a token's logits are in their last bits depends on which others are computed with it;
    otherwise only what was lost.
    """

    def __init__(self, engines: list[Any], same_batches: bool) -> None:
        """`engines`: the job's own list, which `Succeed` changes."""
        self._engines = engines
        self._same_batches = same_batches
        self._waves: dict[int, list[list[EngineCall]]] = defaultdict(list)  # by engine, those not received yet
        self._lock = RLock()
        self._succeed: Succeed | None = None

    def __len__(self) -> int:
        return len(self._engines)

    def replace_dead_engines(self, succeed: Succeed | None) -> None:
        """From now on `succeed` replaces engines; with None, as at first, a death is the caller's error."""
        self._succeed = succeed

    def start(self, asks: Sequence[Ask]) -> list[EngineCall]:
        """Start calls, those to one engine as a wave."""
        with self._lock:
            calls = [EngineCall(ask, self._send(ask)) for ask in asks]
            for engine in {ask.engine for ask in asks}:
                waves = [wave for wave in self._waves[engine] if not all(call.received for call in wave)]
                self._waves[engine] = [*waves, [call for call in calls if call.ask.engine == engine]]
        return calls

    def receive(self, call: EngineCall) -> Any:
        """Wait for a call's answer.

        Raises:
            RayError: what the engine raised, or of what it died, if it is not replaced.
        """
        while True:
            answer = call.answer
            try:
                received = ray.get(answer)
            except RayError as error:
                with self._lock:
                    if call.answer is answer:  # else another thread has had it made again
                        self._replace(call.ask.engine, error)
                continue
            call.received = True
            return received

    def replace_dead(self) -> None:
        """Ask every engine whether it lives, and replace those that do not."""
        for call in self.start([Ask(number, "check_alive") for number in range(len(self))]):
            self.receive(call)

    def _send(self, ask: Ask) -> ray.ObjectRef:
        return getattr(self._engines[ask.engine], ask.method).remote(*ask.arguments)

    def _replace(self, engine: int, error: RayError) -> None:
        if self._succeed is None or not is_engine_death(error):
            raise error
        lost, again = set[EngineCall](), list[EngineCall]()
        for wave in self._waves[engine]:
            lost_of_wave = [call for call in wave if _is_lost(call)]
            lost.update(lost_of_wave)
            again += wave if lost_of_wave and self._same_batches else lost_of_wave
        self._succeed(engine, error, sum(call.ask.rollouts for call in again))
        for call in again:
            answer = self._send(call.ask)
            if call in lost:
                call.answer = answer


def _is_lost(call: EngineCall) -> bool:
    """Whether the dead engine has left no answer."""
    if call.received:
        return False
    if not ray.wait([call.answer], timeout=0)[0]:
        return True
    try:
        ray.get(call.answer)
    except RayError as error:
        return is_engine_death(error)
    return False
