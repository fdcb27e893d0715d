"""Weights from the policy to the rollout engines over gloo: the CPU's counterpart of vLLM's packed NCCL transfer.

Plugs into vLLM 0.29's weight-transfer interface (`vllm.distributed.weight_transfer`): the trainer's half runs on
every policy rank, the worker's half in vLLM's worker processes. Weights travel as bytes (gloo has no bfloat16
broadcast in every build), packed into few messages that both halves cut at the same places.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, ClassVar

import torch
from torch.distributed import ProcessGroup
from vllm.distributed.utils import stateless_init_torch_distributed_process_group
from vllm.distributed.weight_transfer.base import (
    ParamMeta,
    TrainerInitInfo,
    TrainerWeightTransferEngine,
    VLLMWeightSyncClient,
    WeightSource,
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory, WeightTransferTrainerFactory

BACKEND = "gloo"
MESSAGE_BYTES = 256 * 2**20


@dataclass
class GlooInitInfo(WeightTransferInitInfo):
    """Where the worker meets the trainer (rank 0); `rank_offset` is the group rank of the engine's first worker."""

    master_address: str
    master_port: int
    rank_offset: int
    world_size: int


@dataclass
class GlooTrainerInitInfo(TrainerInitInfo):
    """Where the trainer opens its endpoint; `world_size` counts it and all the engines' workers."""

    backend: ClassVar[str] = BACKEND
    master_address: str
    master_port: int
    world_size: int


@dataclass
class GlooUpdateInfo(WeightTransferUpdateInfo):
    """Names, dtypes and shapes of the weights that follow, in the order in which they are sent."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[int]]

    def metadata(self) -> list[ParamMeta]:
        rows = zip(self.names, self.dtype_names, self.shapes, strict=True)
        return [ParamMeta(name, getattr(torch, dtype), tuple(shape)) for name, dtype, shape in rows]


def messages(metadata: list[ParamMeta], limit: int = MESSAGE_BYTES) -> Iterator[list[ParamMeta]]:
    """Cut a sequence of weights into messages of at most `limit` bytes (one weight at least)."""
    message: list[ParamMeta] = []
    size = 0
    for meta in metadata:
        if message and size + num_bytes(meta) > limit:
            yield message
            message, size = [], 0
        message.append(meta)
        size += num_bytes(meta)
    if message:
        yield message


def num_bytes(meta: ParamMeta) -> int:
    """Size of a weight on the wire, in bytes."""
    return prod(meta.shape) * meta.dtype.itemsize


def unpack(buffer: torch.Tensor, message: list[ParamMeta]) -> Iterator[tuple[str, torch.Tensor]]:
    """Read the weights of a message back from its bytes."""
    start = 0
    for meta in message:
        stop = start + num_bytes(meta)
        # A copy, since a dtype wider than a byte must start at an aligned address.
        yield meta.name, buffer[start:stop].clone().view(meta.dtype).view(meta.shape)
        start = stop


class GlooWeightTransferEngine(WeightTransferEngine[GlooInitInfo, GlooUpdateInfo]):
    """The worker's half: receives the packed messages and loads them into vLLM's model."""

    init_info_cls = GlooInitInfo
    update_info_cls = GlooUpdateInfo
    group: ProcessGroup | None = None

    def init_transfer_engine(self, init_info: GlooInitInfo) -> None:
        from prepo_rlhf.backends import cpu

        cpu.let_gloo_listen_at(_own_address_towards(init_info.master_address))
        rank = init_info.rank_offset + self.parallel_config.rank
        self.group = _join((init_info.master_address, init_info.master_port), rank, init_info.world_size)

    def start_weight_update(self) -> None:
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        initialize_layerwise_reload(self.model)

    def finish_weight_update(self) -> None:
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        finalize_layerwise_reload(self.model, self.model_config)

    def update_weights(self, update_info: dict[str, object]) -> None:
        # The base class synchronises an accelerator afterwards; there is none, and gloo's broadcast has completed.
        self.receive_weights(self.parse_update_info(update_info))

    def receive_weights(self, update_info: GlooUpdateInfo) -> None:
        assert self.group is not None, "init_transfer_engine comes first"
        model: Any = self.model  # vLLM's, which load weights, as torch's modules don't
        for message in messages(update_info.metadata()):
            buffer = torch.empty(sum(map(num_bytes, message)), dtype=torch.uint8)
            self.group.broadcast(buffer, 0).wait()
            model.load_weights(unpack(buffer, message))

    def shutdown(self) -> None:
        self.group = None


class GlooTrainerWeightTransferEngine(TrainerWeightTransferEngine[GlooTrainerInitInfo]):
    """The trainer's half: every rank gathers the weights, rank 0 sends them and drives the engines."""

    init_info_cls = GlooTrainerInitInfo
    group: ProcessGroup | None = None

    @classmethod
    def trainer_init(
        cls, init_info: GlooTrainerInitInfo, *, client: VLLMWeightSyncClient, source: WeightSource | None = None
    ) -> GlooTrainerWeightTransferEngine:
        engine = cls(client=client, source=source, is_sender=init_info.is_sender)
        if engine.is_sender:
            address = (init_info.master_address, init_info.master_port)
            worker_info = GlooInitInfo(*address, rank_offset=1, world_size=init_info.world_size)
            # Both sides wait for each other in the rendezvous, so the engines' call runs beside ours.
            with ThreadPoolExecutor(max_workers=1) as executor:
                joined = executor.submit(client.init_weight_transfer_engine, asdict(worker_info))
                engine.group = _join(address, 0, init_info.world_size, _listen(address))
                joined.result()
        return engine

    def send_weights(self) -> None:
        assert self.source is not None
        metadata = self.source.metadata()
        weights = iter(self.source)
        if not self.is_sender:
            for _ in weights:  # a gather is a collective: every rank takes part
                pass
            return
        update = GlooUpdateInfo(
            names=[meta.name for meta in metadata],
            dtype_names=[str(meta.dtype).removeprefix("torch.") for meta in metadata],
            shapes=[list(meta.shape) for meta in metadata],
        )
        self.client.start_weight_update()
        executor = ThreadPoolExecutor(max_workers=1)
        try:
            received = executor.submit(self.client.update_weights, asdict(update))
            for message in messages(metadata):
                self._send(message, weights)
            received.result()
        finally:
            executor.shutdown(wait=False)  # after an error the engines may never answer
        self.client.finish_weight_update()

    def _send(self, message: list[ParamMeta], weights: Iterator[tuple[str, torch.Tensor]]) -> None:
        assert self.group is not None
        parts = []
        for meta in message:
            name, tensor = next(weights)
            if (name, tensor.dtype, tuple(tensor.shape)) != (meta.name, meta.dtype, meta.shape):
                raise RuntimeError(f"weight {name} does not match its metadata {meta}")
            parts.append(tensor.detach().contiguous().view(-1).view(torch.uint8))
        self.group.broadcast(torch.cat(parts), 0).wait()


def _join(address: tuple[str, int], rank: int, world_size: int, listener: socket.socket | None = None) -> ProcessGroup:
    """The group of the trainer and all workers, once all of them are there."""
    group = stateless_init_torch_distributed_process_group(
        *address, rank, world_size, backend=BACKEND, listen_socket=listener
    )
    assert isinstance(group, ProcessGroup)  # its store comes with it only where asked for
    return group


def _listen(address: tuple[str, int]) -> socket.socket:
    """A socket at this address alone: torch would take every interface of the machine."""
    listener = socket.socket()
    listener.bind(address)
    listener.listen()
    return listener


def _own_address_towards(host: str) -> str:
    """The address from which this machine reaches `host`. vLLM's processes are not Ray's, and cannot ask it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 1))  # of a datagram socket: looks for a route, and sends nothing
        return probe.getsockname()[0]


def register() -> None:
    """Make "gloo" known to vLLM's two factories; later calls do nothing."""
    if BACKEND not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(BACKEND, GlooWeightTransferEngine)
        WeightTransferTrainerFactory.register_engine(BACKEND, GlooTrainerWeightTransferEngine)
