"""What tests on the real stack share."""

from __future__ import annotations

import pytest
from finished_runs import FinishedRun, finish_run


@pytest.fixture(scope="session")
def finished_run(
    ray_head: str, tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path_factory: pytest.TempPathFactory
) -> FinishedRun:
    return finish_run(tiny_llama, tiny_data, parity_reward, tmp_path_factory.mktemp("finished") / "run")
