"""benchmarks/gpu.sh up to where a part would start: its table, what it says is missing, its limits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tiny_tasks import ROOT


def gpu_sh(output: Path, *options: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), "--tiny", "--output", str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHON": python})


def read(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_a_python_without_the_packages_is_told_which(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # the same Python without its packages
    bare.chmod(0o755)
    done = gpu_sh(tmp_path / "out", python=str(bare))
    parts = read(tmp_path / "out")
    assert done.returncode == 1 and "has no torch" in done.stdout
    assert list(parts) and set(parts) == {
        "output_head", "policy_pass_7b", "policy_pass_8b", "engine", "steps", "determinism", "gpu_tests",
    }  # fmt: skip
    for name, part in parts.items():
        assert part["part"] == name and part["ok"] is False and part["result"] is None
        assert part["reason"].startswith("needs torch, ") and part["reason"] in done.stdout
    assert "vllm" in parts["steps"]["reason"] and "pytest" in parts["gpu_tests"]["reason"]


def test_a_part_past_its_limit_stops_no_other(tmp_path: Path) -> None:
    done = gpu_sh(tmp_path, "--parts", "gpu_tests,output_head", "--minutes", "0.25")
    first, second = (read(tmp_path)[name] for name in ("gpu_tests", "output_head"))
    assert done.returncode == 1 and first["ok"] is False and first["reason"] == "ran past its limit of 2 s"
    assert "gpu_tests.py --output" in first["command"] and (tmp_path / first["log"]).is_file()
    assert second["part"] == "output_head" and second["ok"] == (second["reason"] is None)
    assert first["machine"]["cpus"] == os.cpu_count() and first["machine"]["packages"]["torch"]


def test_an_unknown_part_is_named_with_those_there_are(tmp_path: Path) -> None:
    done = gpu_sh(tmp_path, "--parts", "output_head,motor")
    assert done.returncode == 2 and "--parts motor: there are output_head, gpu_tests" in done.stderr
