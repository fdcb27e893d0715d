"""Environment variables that decide how a job runs: checked before anything reads them, and set for a CPU.

Boundary: `RAY_ADDRESS` has a module of its own, `ray_address`; variables of the libraries that cannot end a job are
theirs.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

from prepo_rlhf.config import ConfigError

# What Ray puts behind its temporary folder to make the path of a socket, which may have 107 bytes.
_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1"
LONGEST_TEMP_FOLDER = 107 - len(_SOCKET)
_SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
_DEVICE = re.compile(r"\d+|-1|NoDevFiles|(GPU|MIG)-[\w/-]+")


def check_environment(environment: Mapping[str, str] = os.environ) -> None:
    """Raise ConfigError that lists the variables whose values a job cannot work with."""
    if problems := list(_problems(environment)):
        raise ConfigError("\n".join(problems))


def _problems(environment: Mapping[str, str]) -> Iterator[str]:
    if (threads := environment.get("OMP_NUM_THREADS")) and not _are_counts(threads.split(",")):
        yield f"OMP_NUM_THREADS {threads}: give a number of threads, or unset it"
    space = environment.get("VLLM_CPU_KVCACHE_SPACE")
    if space is not None and not _are_counts([space]):
        yield f"VLLM_CPU_KVCACHE_SPACE {space}: give a whole number of GiB, or unset it"
    devices = [device.strip() for device in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    if devices != [""]:
        shown = environment["CUDA_VISIBLE_DEVICES"]
        if not all(map(_DEVICE.fullmatch, devices)):
            yield f"CUDA_VISIBLE_DEVICES {shown}: give the numbers of GPUs, separated by commas, or unset it"
        elif len(set(devices)) < len(devices):
            yield f"CUDA_VISIBLE_DEVICES {shown}: names a GPU twice, with which CUDA shows none"


def _are_counts(texts: list[str]) -> bool:
    return all(text.strip().isascii() and text.strip().isdigit() and int(text) > 0 for text in texts)


def of_cpu_jobs() -> dict[str, str]:
    """Environment variables that every process of a CPU job needs, from its start."""
    return {
        "DS_ACCELERATOR": "cpu",
        # OpenRLHF compiles `compute_entropy`; on a CPU that would need a C++ compiler at run time.
        "TORCHDYNAMO_DISABLE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
        # The engine computes in its own process. With 1 vLLM starts another for that, since its threads could not be
        # bound to cores otherwise, which they are not here.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
    }


def use_short_temp_folders(environment: MutableMapping[str, str] = os.environ) -> None:
    """Put a short name in the place of a temporary folder whose path leaves no room for sockets, until this process
    ends. The folder itself stays where it is; Ray, vLLM and multiprocessing reach it through a link.

    Raises:
        ConfigError: it cannot be written, or there is no place for a link.
    """
    for name in ("RAY_TMPDIR", "TMPDIR"):
        if name not in environment:
            continue
        if not environment[name].strip():
            del environment[name]  # Ray would take a blank for the working directory
            continue
        folder = _writable(name, environment[name])
        environment[name] = folder if len(os.fsencode(folder)) <= LONGEST_TEMP_FOLDER else _short_name(name, folder)
    if environment is os.environ:
        tempfile.tempdir = None  # to be looked up again


def _writable(name: str, folder: str) -> str:
    folder = os.path.abspath(folder)
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{name} {folder}: cannot be written ({reason}); give another, or unset it") from error


def _short_name(name: str, folder: str) -> str:
    for place in _SHORT_PLACES:
        try:
            own = Path(tempfile.mkdtemp(prefix="prepo-", dir=place))
            (own / "tmp").symlink_to(folder)
        except OSError:
            continue
        atexit.register(_remove, own)
        return str(own / "tmp")
    raise ConfigError(
        f"{name} {folder}: leaves no room for the paths of Ray's sockets, and no short name for it could be made in "
        f"{', '.join(_SHORT_PLACES)}: give a folder of at most {LONGEST_TEMP_FOLDER} bytes"
    )


def _remove(own: Path) -> None:
    import ray

    ray.shutdown()  # its processes still use the link
    shutil.rmtree(own, ignore_errors=True)
