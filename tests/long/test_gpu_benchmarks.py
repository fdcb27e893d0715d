"""benchmarks/gpu.sh whole, with tiny shapes on the CPU backend: every part leaves its numbers."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tiny_tasks import ROOT


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        yield from (number for item in value.values() for number in numbers_in(item))
    elif isinstance(value, list):
        yield from (number for item in value for number in numbers_in(item))
    elif isinstance(value, int | float):
        yield value


def test_all_parts(tmp_path: Path) -> None:
    command = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), "--tiny", "--output", str(tmp_path), "--minutes", "60"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHON": sys.executable})
    assert done.returncode == 0, done.stdout
    parts = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert len(parts) == 7 and all(part["ok"] and part["tiny"] for part in parts.values())
    assert all(math.isfinite(number) for part in parts.values() for number in numbers_in(part["result"]))
    results = {name: part["result"] for name, part in parts.items()}
    assert results["engine"]["generation"]["tokens"] > 0 and results["engine"]["scoring"]["tokens_per_second"] > 0
    steps = results["steps"]
    assert len(steps["metrics"]) == 2 and {"generation", "train", "weight_sync"} <= set(steps["median_seconds"])
    assert len(steps["engine_over_policy"]) == 2 and max(map(abs, steps["engine_over_policy"])) < 1e-3
    assert steps["memory_gib"]["peak"] > 0 and steps["memory_gib"]["planned"]["training"] > 0
    assert results["determinism"]["equal"] and results["determinism"]["steps"] == 2
    assert results["gpu_tests"]["tests"] > 10 and results["policy_pass_7b"]["sides"]
