"""Makes this process ready for a job: the backend of its options, and a Ray cluster.

Boundary: what training and evaluation both need before there is any actor.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TextIO

from prepo_rlhf.backends import noise

# Read when Ray is imported: this process then hands tensors to the actors without pickling them, and leaves out lines.
os.environ.setdefault("RAY_ENABLE_ZERO_COPY_TORCH_TENSORS", "1")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", noise.TOLD_BY_RAYLETS)
import ray
from ray.exceptions import RayError

from prepo_rlhf import backends
from prepo_rlhf.backends import internals, ray_address
from prepo_rlhf.backends.announce import announced
from prepo_rlhf.backends.environment import check_environment, of_cpu_jobs, use_short_temp_folders
from prepo_rlhf.config import Config, ConfigError, from_yaml, resolve
from prepo_rlhf.config.bundles import required_bundles

# Milliseconds; Ray takes a node for dead that has let this pass five times. Its own 10 seconds make 66 with the pauses,
# in which a machine on which everything computes may not come to answer.
NODE_PATIENCE = "30000"


def apply_backend(config: Config) -> None:
    """Make this process, and those that it starts, run on the job's backend.

    Raises:
        ConfigError: the environment holds what no job can work with.
    """
    set_environment(config)
    backends.activate()


def set_environment(config: Config) -> None:
    """The environment of this process and those that it starts: what `apply_backend` does before it imports the stack.

    Raises as `apply_backend` does.
    """
    check_environment()
    use_short_temp_folders()
    internals.warn_of_other_versions()  # here and not in `backends.activate`: once a job, not in every actor
    os.environ[backends.BACKEND_VARIABLE] = config.backend
    noise.silence(config.backend)
    if config.backend == "cpu":
        os.environ.update(of_cpu_jobs())


def reopen_run(folder: Path) -> Config:
    """The options in a run's config.yaml, resolved for this machine, and this process made ready for its backend."""
    given = from_yaml(folder / "config.yaml")
    config = resolve(given, backends.this_machine(given.backend))
    apply_backend(config)
    return config


def ray_runs(config: Config) -> bool:
    """Whether there is a Ray that the job is to join, rather than one to be started for it.

    Raises:
        ConfigError: the one that the environment names does not answer, or GPUs are those of one that it doesn't name.
    """
    return ray_address.to_join(config.backend) is not None


def start_ray(config: Config, logical_gpus: int | None = None, stream: TextIO | None = None) -> None:
    """Join the Ray that the environment names, or start one for this process alone; says which on `stream`.

    On a CPU the latter has as many CPUs and GPUs as `logical_gpus` says, or else as the job needs, whatever the machine
    has.

    Raises:
        ConfigError: the named Ray cannot be joined, or one with GPUs runs here and none is named.
    """
    address = ray_address.to_join(config.backend)
    arguments: dict[str, Any] = {"runtime_env": {"env_vars": _worker_variables(config)}, "log_to_driver": False}
    if address is not None:
        with announced(f"Joining Ray at {address}", stream):
            _join(address, arguments)
        return
    os.environ.pop("RAY_ADDRESS", None)  # says `local`, which no process of the new Ray is to start another for
    if config.backend == "cpu":
        count = required_bundles(config) if logical_gpus is None else logical_gpus
        arguments |= {"num_gpus": count, "num_cpus": count}
    os.environ.setdefault("RAY_health_check_timeout_ms", NODE_PATIENCE)
    with announced("Starting Ray", stream):
        ray.init(address="local", include_dashboard=False, logging_level=noise.OWN_RAY, **arguments)


def _worker_variables(config: Config) -> dict[str, str]:
    """Environment variables of the job's actors."""
    defaults = {"TOKENIZERS_PARALLELISM": "true", "NCCL_DEBUG": "WARN", "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS": "1"}
    # What the user has set, in the shell or in the job's runtime environment, stays.
    variables = {name: value for name, value in defaults.items() if name not in os.environ}
    variables[backends.BACKEND_VARIABLE] = config.backend
    if config.backend == "cpu":
        variables |= of_cpu_jobs()
    return variables


def _join(address: str, arguments: dict[str, Any]) -> None:
    # Else a variable that the submitted job's own runtime environment has too is an error; what it says is in ours.
    os.environ.setdefault("RAY_OVERRIDE_JOB_RUNTIME_ENV", "1")
    try:
        ray.init(address=address, **arguments)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:  # another version, no raylet here, a token
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(f"RAY_ADDRESS {address}: Ray answers there and could not be joined: {reason}") from error
