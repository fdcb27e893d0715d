"""A clone stays light: no large file, and archives of results that are small together."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEGABYTE = 10**6
BASE_MODELS = {f"examples/arithmetic/checkpoints/{setting}/model.safetensors" for setting in ("weak", "mid")}
ARCHIVES = 3 * MEGABYTE


@pytest.fixture(scope="module")
def sizes() -> dict[str, int]:
    """Bytes of each tracked file; skipped outside a clone."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no clone")
    files = [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]
    return {name: (ROOT / name).stat().st_size for name in files}


def test_only_the_base_models_are_larger_than_a_megabyte(sizes: dict[str, int]) -> None:
    assert {name for name, size in sizes.items() if size > MEGABYTE} == BASE_MODELS


def test_archives_of_results_are_small_together(sizes: dict[str, int]) -> None:
    archives = {name: size for name, size in sizes.items() if name.endswith((".tar.xz", ".tar.gz", ".zip"))}
    assert "docs/results/selectors/weak.tar.xz" in archives and sum(archives.values()) <= ARCHIVES
