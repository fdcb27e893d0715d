"""Makes this process ready for a job: the backend of its options, and a Ray cluster.

Boundary: what training and evaluation both need before there is any actor.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

# Read when Ray is imported: this process then hands tensors to the actors without pickling them.
os.environ.setdefault("RAY_ENABLE_ZERO_COPY_TORCH_TENSORS", "1")
import ray

from prepo_rlhf import backends
from prepo_rlhf.backends import internals
from prepo_rlhf.config import Config, ConfigError, from_yaml, resolve


def apply_backend(config: Config) -> None:
    """Make this process, and those that it starts, run on the job's backend."""
    internals.warn_of_other_versions()  # here and not in `backends.activate`: once a job, not in every actor
    os.environ[backends.BACKEND_VARIABLE] = config.backend
    if config.backend == "cpu":
        from prepo_rlhf.backends import cpu

        os.environ.update(cpu.environment())
    backends.activate()


def reopen_run(folder: Path) -> Config:
    """The options in a run's config.yaml, resolved for this machine, and this process made ready for its backend."""
    given = from_yaml(folder / "config.yaml")
    config = resolve(given, backends.this_machine(given.backend))
    apply_backend(config)
    return config


def start_ray(config: Config, logical_gpus: int | None = None) -> None:
    """Join the Ray cluster of this machine or job, or start one for this process alone.

    On a CPU the latter has as many CPUs and GPUs as `logical_gpus` says, whatever the machine has.

    Raises:
        ConfigError: the environment names a cluster that does not answer.
    """
    defaults = {"TOKENIZERS_PARALLELISM": "true", "NCCL_DEBUG": "WARN", "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS": "1"}
    # What the user has set, in the shell or in the job's runtime environment, stays.
    variables = {name: value for name, value in defaults.items() if name not in os.environ}
    variables[backends.BACKEND_VARIABLE] = config.backend
    if config.backend == "cpu":
        from prepo_rlhf.backends import cpu

        variables |= cpu.environment()
    # Tensors that Ray shares between processes are read-only, and nothing here writes to them.
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    arguments: dict[str, Any] = {"runtime_env": {"env_vars": variables}, "log_to_driver": False}
    try:
        ray.init(address="auto", **arguments)
    except ConnectionError as error:
        if address := os.environ.get("RAY_ADDRESS"):
            raise ConfigError(f"RAY_ADDRESS {address}: no Ray answers there; start it, or unset RAY_ADDRESS") from error
        if config.backend == "cpu":
            arguments |= {"num_gpus": logical_gpus, "num_cpus": logical_gpus}
        ray.init(address="local", include_dashboard=False, **arguments)
