"""The process of an engine passes on every call that an engine takes."""

from __future__ import annotations

import inspect

from prepo_rlhf.cluster.engine_process import CALLS, RolloutEngine


def test_every_method_of_an_engine_can_be_called_in_its_process() -> None:
    from prepo_rlhf.ray.rollout_engine import RolloutEngine as Engine

    asynchronous = {name for name, _ in inspect.getmembers(Engine, inspect.iscoroutinefunction) if name[0] != "_"}
    assert asynchronous == set(CALLS)
    assert all(inspect.iscoroutinefunction(getattr(RolloutEngine, name)) for name in CALLS)
