"""The policy's weights to the rollout engines, through vLLM's weight-transfer interface.

NCCL (packed) and CUDA IPC are vLLM's own; gloo for the CPU is ours (`backends.gloo_weight_transfer`). This
module chooses the transport, and yields the full weights of DeepSpeed's (sharded, LoRA-wrapped) model one by one.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import deepspeed
import ray
import torch
from peft.tuners.lora import LoraLayer
from vllm.distributed.weight_transfer.base import ParamMeta, TrainerInitInfo, WeightSource, WeightTransferInitRequest
from vllm.distributed.weight_transfer.clients import RayVLLMWeightSyncClient
from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory

from prepo_rlhf import backends
from prepo_rlhf.ray import progress
from prepo_rlhf.ray.strategy import Strategy

ADAPTER = "default"


def transfer_backend(args: Any) -> str:
    """The transport of a job: `--vllm.sync_backend`, or by default gloo on CPU, IPC when the engines share the
    policy's GPUs, and NCCL otherwise."""
    if args.vllm.sync_backend:
        return args.vllm.sync_backend
    if backends.current_backend() == "cpu":
        return "gloo"
    return "ipc" if args.train.colocate_all and not args.train.async_enable else "nccl"


class EngineClient(RayVLLMWeightSyncClient):
    """vLLM's client to Ray actors, for several independent engines: each gets its own ranks in the group."""

    def __init__(self, engines: list[Any], workers_per_engine: int) -> None:
        super().__init__(engines)
        self._workers_per_engine = workers_per_engine

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        calls = []
        for number, engine in enumerate(self.handles):
            info = dict(init_info)
            if "rank_offset" in info:
                info["rank_offset"] += number * self._workers_per_engine
            calls.append(engine.init_weight_transfer_engine.remote(WeightTransferInitRequest(init_info=info)))
        ray.get(calls)


class PolicyWeights(WeightSource):
    """The policy's full weights under the names that the model's checkpoint has.

    ZeRO-3 shards are gathered one module at a time, and LoRA adapters merged into a copy of the weight they
    adapt; both are collectives, so all ranks iterate in step.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._lora: dict[str, Any] = {
            name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)
        }

    def metadata(self) -> list[ParamMeta]:
        return [
            ParamMeta(self._checkpoint_name(name), weight.dtype, tuple(getattr(weight, "ds_shape", weight.shape)))
            for name, weight in self._weights()
        ]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, weight in self._weights():
            adapter = self._lora.get(name.removesuffix(".base_layer.weight"))
            parameters = [weight] if adapter is None else list(adapter.parameters())
            sharded = [parameter for parameter in parameters if hasattr(parameter, "ds_id")]
            with deepspeed.zero.GatheredParameters(sharded, enabled=bool(sharded)):
                full = weight.data
                if adapter is not None:
                    full = full + adapter.get_delta_weight(ADAPTER).to(full.dtype)
                yield self._checkpoint_name(name), full
            progress.moved()

    def _weights(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        return ((name, weight) for name, weight in self._model.named_parameters() if ".lora_" not in name)

    @staticmethod
    def _checkpoint_name(name: str) -> str:
        return name.removeprefix("base_model.model.").replace(".base_layer.", ".")


class WeightSync:
    """One policy rank's end of the transfer; made on all ranks at once, since rank 0 meets the engines in it."""

    def __init__(self, strategy: Strategy, model: torch.nn.Module, engines: list[Any]) -> None:
        args = strategy.args
        workers = args.vllm.tensor_parallel_size
        self._engines = engines
        self._is_sender = strategy.is_rank_0()
        self._reset_prefix_cache = args.vllm.enable_prefix_caching
        self._transfer = WeightTransferTrainerFactory.trainer_init(
            _init_info(transfer_backend(args), strategy.get_rank(), 1 + len(engines) * workers),
            client=EngineClient(engines, workers),
            source=PolicyWeights(model),
        )
        torch.distributed.barrier()

    def send(self) -> None:
        """Send all weights and wait until every engine has loaded them."""
        self._transfer.send_weights()
        if self._reset_prefix_cache and self._is_sender:
            ray.get([engine.reset_prefix_cache.remote() for engine in self._engines])
        torch.cuda.empty_cache()
        torch.distributed.barrier()


def _init_info(backend: str, rank: int, world_size: int) -> TrainerInitInfo:
    if backend == "ipc":
        from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

        return IPCTrainerInitInfo(rank=rank, packed=True)
    address, port = _endpoint() if rank == 0 else ("", 0)
    if backend == "nccl":
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

        return NCCLTrainerInitInfo(address, port, world_size, rank=rank)
    from prepo_rlhf.backends import gloo_weight_transfer

    gloo_weight_transfer.register()
    return gloo_weight_transfer.GlooTrainerInitInfo(address, port, world_size, rank=rank)


def _endpoint() -> tuple[str, int]:
    """This node's address in the cluster and a port that is free there."""
    address = ray.util.get_node_ip_address()
    with socket.socket() as probe:
        probe.bind((address, 0))
        return address, probe.getsockname()[1]
