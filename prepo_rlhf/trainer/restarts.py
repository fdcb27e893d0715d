"""When a job that has lost a part starts its actors again by itself, and what is told of that and of single engines.

Boundary: counts, and writes events.jsonl; what starts actors is `job`, and for an engine `ray.engine_successor`.
"""

from __future__ import annotations

import json
import re
import time
from datetime import datetime, timezone
from pathlib import Path

from prepo_rlhf.config import Config
from prepo_rlhf.files.outputs import EVENTS_FILE
from prepo_rlhf.files.rows import complete_lines, json_lines
from prepo_rlhf.trainer.stopped import PartDied, TrainingStopped

RESTART, ENGINE = "restart", "engine replaced"  # events


class Restarts:
    """Allows `--train.max_restarts` restarts without a finished step between them, and none after the same fault in the
    same step twice in succession, which would come again.

    The events are those of the whole run, over all its starts.
    """

    def __init__(self, config: Config) -> None:
        self._limit = config.train.max_restarts
        self._path = Path(config.logger.run_dir) / EVENTS_FILE
        self.step = 0  # the last whole one before the fault that the job is recovering from, or has recovered from last
        self._why = ""  # that fault
        self._since_step, self._furthest = 0, 0  # restarts since the furthest step that was finished
        self._began = 0.0  # of the recovery

    @property
    def recovering(self) -> bool:
        """Whether the job has been broken and does not go on yet."""
        return self._began > 0

    @property
    def allowed(self) -> bool:
        """Whether the job is to mend anything by itself."""
        return self._limit > 0

    def metrics(self) -> dict[str, int]:
        """Of the run so far: restarts, engines replaced alone, and rollouts that were made again for those."""
        events = json_lines(complete_lines(self._path)) if self._path.is_file() else []
        engines = [event for event in events if event["event"] == ENGINE]
        return {
            "run/restarts": len(events) - len(engines),
            "run/engines_replaced": len(engines),
            "run/rollouts_again": sum(event["rollouts_again"] for event in engines),
        }

    def allow(self, fault: PartDied) -> None:
        """Count a fault, and say that the job starts again.

        Raises the fault itself where it is one too many, and TrainingStopped where it would come again.
        """
        went_on = not self.recovering
        came_again = self._since_step and went_on and self.step == fault.step and _same(self._why, fault.why)
        if fault.step > self._furthest:  # a step that is made a second time is no progress
            self._since_step, self._furthest = 0, fault.step
        self._since_step += 1
        self.step, self._why = fault.step, fault.why
        if fault.for_good or self._since_step > self._limit:
            raise fault
        if came_again:
            raise TrainingStopped(f"{fault}. It is the second time in succession, so it would come again") from fault
        self._began = time.monotonic()
        print(f"{fault}. Starting again ({self._since_step} of {self._limit} times since the last step)", flush=True)

    def recovered(self, step: int) -> None:
        """Record that the job goes on after `step`; nothing where it has not been broken."""
        if not self.recovering:
            return
        lost, seconds, self._began = self.step - step, time.monotonic() - self._began, 0.0
        self._record(RESTART, self._why, self.step, seconds, steps_lost=lost)

    def engine_replaced(self, step: int, why: str, seconds: float, rollouts: int) -> None:
        """Record that after `step` an engine died and has a successor, which makes `rollouts` again."""
        self._record(ENGINE, why, step, seconds, steps_lost=0, rollouts_again=rollouts)

    def _record(self, event: str, why: str, step: int, seconds: float, **more: int) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        row = {"time": now, "event": event, "why": why, "step": step, "seconds": round(seconds, 1), **more}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _same(why: str, again: str) -> bool:
    """Whether two faults are told alike, apart from the paths of logs and the numbers of processes in them."""
    return len({re.sub(r"\S*/\S*|\d+", "", text) for text in (why, again)}) == 1
