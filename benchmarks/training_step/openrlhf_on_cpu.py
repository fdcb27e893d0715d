"""OpenRLHF's own trainer on a CPU, as the other side of `compare.py`.

    python benchmarks/training_step/openrlhf_on_cpu.py [options of openrlhf.cli.train_ppo_ray]

Its code runs as it is, in its own actors. What a CPU needs beyond this project's backend is here, since only its weight
sync, which this project replaces, calls for it: gloo in place of NCCL, and weights loaded all at once, because vLLM
repacks them on a CPU. Policy and engines are float32. Written for openrlhf 0.11.2 and vllm 0.29.0.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import torch

from prepo_rlhf import backends
from prepo_rlhf.backends.environment import of_cpu_jobs

CPUS = 8  # logical ones: OpenRLHF's actors, its trainer among them, ask for one each


class GlooGroup:
    """What OpenRLHF asks of vLLM's NCCL communicator."""

    def __init__(self, address: str, port: int, rank: int, world_size: int, _device: Any) -> None:
        from vllm.distributed.utils import stateless_init_torch_distributed_process_group

        self._group = stateless_init_torch_distributed_process_group(address, port, rank, world_size, backend="gloo")

    def broadcast(self, tensor: torch.Tensor, src: int, stream: None = None) -> None:
        self._group.broadcast(tensor.contiguous(), src).wait()


class Weights:
    """The worker's end (vLLM's `worker_extension_cls`): OpenRLHF's two calls, over gloo."""

    def init_process_group(
        self, address: str, port: int, rank_offset: int, world_size: int, _name: str, backend: str, use_ray: bool
    ) -> None:
        self._updates, self._received = GlooGroup(address, port, rank_offset, world_size, None), []

    def update_weight(self, name: str, dtype: torch.dtype, shape: torch.Size, empty_cache: bool = False) -> None:
        weight = torch.empty(shape, dtype=dtype)
        self._updates.broadcast(weight, src=0)
        self._received.append((name, weight))
        if empty_cache:  # the last one
            self.model_runner.reload_weights(weights_iterator=iter(self._received))
            self._received = []


def prepare() -> None:
    """Make a process of the job ready, before OpenRLHF is imported there; Ray calls it in every worker."""
    os.environ[backends.BACKEND_VARIABLE] = "cpu"
    backends.activate()
    torch.cuda.current_stream = lambda _device=None: None
    from openrlhf.trainer.ray import ppo_actor

    ppo_actor.stateless_init_process_group = GlooGroup


class CpuEngines:
    """OpenRLHF's engine actor, made with this file's worker extension, in float32."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def options(self, **options: Any) -> CpuEngines:
        return CpuEngines(self._actor.options(**options))

    def remote(self, **arguments: Any) -> Any:
        extension = f"{Path(__file__).stem}.{Weights.__name__}"
        return self._actor.remote(**arguments | {"dtype": "float32", "worker_extension_cls": extension})


def main() -> None:
    os.environ.update(of_cpu_jobs())
    os.environ["PYTHONPATH"] = f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"
    prepare()
    import openrlhf.utils
    import ray
    from openrlhf.trainer.ray import vllm_engine

    from prepo_rlhf.ray.strategy import Strategy

    def get_strategy(args: Any) -> Any:
        args.ds.param_dtype = "fp32"  # no choice of OpenRLHF's parser
        strategy = original(args)
        strategy.__class__ = Strategy  # torch's AdamW, and reductions by gloo
        return strategy

    original, openrlhf.utils.get_strategy = openrlhf.utils.get_strategy, get_strategy
    vllm_engine.RolloutRayActor = CpuEngines(vllm_engine.RolloutRayActor)
    hook = f"{Path(__file__).stem}.{prepare.__name__}"
    ray.init(
        "local", num_cpus=CPUS, num_gpus=2, include_dashboard=False, runtime_env={"worker_process_setup_hook": hook}
    )
    sys.argv = ["train_ppo_ray", *sys.argv[1:]]
    runpy.run_module("openrlhf.cli.train_ppo_ray", run_name="__main__")


if __name__ == "__main__":
    main()
