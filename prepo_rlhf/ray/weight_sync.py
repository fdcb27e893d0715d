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

from prepo_rlhf.ray import progress
from prepo_rlhf.ray.strategy import Strategy
from prepo_rlhf.ray.transport import transfer_backend

ADAPTER = "default"


class EngineClient(RayVLLMWeightSyncClient):
    """vLLM's client to Ray actors, for several independent engines: each gets its own ranks in the group, and is told
    how many syncs the job has made with the one under way, `syncs`."""

    def __init__(self, engines: list[Any], workers_per_engine: int) -> None:
        super().__init__(engines)
        self._workers_per_engine = workers_per_engine
        self.syncs = 0

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        calls = []
        for number, engine in enumerate(self.handles):
            info = dict(init_info)
            if "rank_offset" in info:
                info["rank_offset"] += number * self._workers_per_engine
            calls.append(engine.init_weight_transfer_engine.remote(WeightTransferInitRequest(init_info=info)))
        ray.get(calls)

    def start_weight_update(self) -> None:
        ray.get([engine.start_weight_update.remote(self.syncs) for engine in self.handles])


class PolicyWeights(WeightSource):
    """The policy's full weights under the names that the model's checkpoint has.

    ZeRO-3 shards are gathered one module at a time, and LoRA adapters merged into a copy of the weight they
    adapt; both are collectives, so all ranks iterate in step.
    """

    def __init__(self, model: torch.nn.Module, kept: dict[str, torch.Tensor] | None = None) -> None:
        """`kept`: takes a copy of every weight that is yielded."""
        self._model, self._kept = model, kept
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
                checkpoint_name = self._checkpoint_name(name)
                if self._kept is not None:
                    self._kept[checkpoint_name] = full.detach().to("cpu", copy=True)
                yield checkpoint_name, full
            progress.moved()

    def _weights(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        return ((name, weight) for name, weight in self._model.named_parameters() if ".lora_" not in name)

    @staticmethod
    def _checkpoint_name(name: str) -> str:
        return name.removeprefix("base_model.model.").replace(".base_layer.", ".")


class KeptWeights(WeightSource):
    """Weights that were sent before; where none are held, none are taken part in."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        self._weights = weights

    def metadata(self) -> list[ParamMeta]:
        return [ParamMeta(name, weight.dtype, tuple(weight.shape)) for name, weight in self._weights.items()]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        device = torch.cuda.current_device()
        return ((name, weight.to(device)) for name, weight in self._weights.items())


class WeightSync:
    """One policy rank's end of the transfer; made on all ranks at once, since rank 0 meets the engines in it."""

    def __init__(self, strategy: Strategy, model: torch.nn.Module, engines: list[Any]) -> None:
        self._strategy, self._engines = strategy, list(engines)
        args = strategy.args
        # While batches are generated the policy trains; a successor whose run is to repeat itself needs older weights.
        keeps = args.train.async_enable and args.train.full_determinism_enable
        self._kept: dict[str, torch.Tensor] | None = {} if keeps else None
        self._source = PolicyWeights(model, self._kept if strategy.is_rank_0() else None)
        self._reset_prefix_cache = args.vllm.enable_prefix_caching
        self._transfer: Transfer | None = Transfer(strategy, self._source, self._engines)
        self._syncs = 0
        self.policy_is_newer = False  # than what was sent last

    def send(self) -> None:
        """Send all weights and wait until every engine has loaded them."""
        if self._transfer is None:
            self._transfer = Transfer(self._strategy, self._source, self._engines)
        self._syncs, self.policy_is_newer = self._syncs + 1, False
        self._transfer.send(self._syncs)
        if self._reset_prefix_cache and self._strategy.is_rank_0():
            ray.get([engine.reset_prefix_cache.remote() for engine in self._engines])
        torch.cuda.empty_cache()
        torch.distributed.barrier()

    def send_to(self, number: int, engine: Any) -> None:
        """Send all weights to an engine that takes the place of engine `number`; the others go on with what they do.

        They are the policy's, which may be newer than those of the other engines; in an async run that is to repeat
        itself they are the others' own. From the next `send` on it is one of them.
        """
        self._engines[number], self._transfer = engine, None
        if self._kept is None:
            Transfer(self._strategy, self._source, [engine]).send(self._syncs + self.policy_is_newer)
        elif self._syncs:  # before the first it has loaded the right ones
            Transfer(self._strategy, KeptWeights(self._kept), [engine]).send(self._syncs)
        torch.distributed.barrier()


class Transfer:
    """A connection of all ranks to some of the engines."""

    def __init__(self, strategy: Strategy, source: WeightSource, engines: list[Any]) -> None:
        args, workers = strategy.args, strategy.args.vllm.tensor_parallel_size
        self._client = EngineClient(engines, workers)
        self._transfer = WeightTransferTrainerFactory.trainer_init(
            _init_info(transfer_backend(args), strategy.get_rank(), 1 + len(engines) * workers),
            client=self._client,
            source=source,
        )
        torch.distributed.barrier()

    def send(self, syncs: int) -> None:
        """Send all weights; they are those after the job's sync number `syncs`, from 1 on."""
        self._client.syncs = syncs
        self._transfer.send_weights()


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
