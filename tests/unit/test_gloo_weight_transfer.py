"""Weights over gloo: both ends cut messages alike, every byte comes back, and nobody else is listened to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import torch

from prepo_rlhf import backends

backends.activate()
from vllm.distributed.utils import stateless_init_torch_distributed_process_group as join_group  # noqa: E402
from vllm.distributed.weight_transfer.base import ParamMeta  # noqa: E402

from prepo_rlhf.backends.gloo_weight_transfer import (  # noqa: E402
    GlooTrainerInitInfo,
    GlooTrainerWeightTransferEngine,
    messages,
    num_bytes,
    unpack,
)

WEIGHTS = {
    "odd": torch.randn(3, 5).bfloat16(),
    "wide": torch.randn(7),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "after": torch.randn(2, 2, 2).half(),
    "scalar": torch.tensor(2.5),
}
METADATA = [ParamMeta(name, weight.dtype, tuple(weight.shape)) for name, weight in WEIGHTS.items()]


@pytest.mark.parametrize("limit", [1, 40, 60, 10**6])
def test_every_weight_comes_back(limit: int) -> None:
    received = {}
    for message in messages(METADATA, limit):
        parts = [WEIGHTS[meta.name].reshape(-1).view(torch.uint8) for meta in message]
        buffer = torch.cat(parts)
        assert len(buffer) == sum(map(num_bytes, message))
        assert len(buffer) <= limit or len(message) == 1
        received |= dict(unpack(buffer, message))
    assert list(received) == list(WEIGHTS)
    for name, weight in WEIGHTS.items():
        assert received[name].dtype == weight.dtype and torch.equal(received[name], weight)


def test_a_large_limit_makes_one_message() -> None:
    assert len(list(messages(METADATA))) == 1


class Worker:
    """Stands for one engine's worker: joins the trainer's group, and no more."""

    def init_weight_transfer_engine(self, info: dict[str, Any]) -> None:
        address = info["master_address"], info["master_port"]
        self.group = join_group(*address, info["rank_offset"], info["world_size"], backend="gloo")


def test_it_listens_on_its_own_address_alone() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before, worker = set(listening()), Worker()
    trainer = GlooTrainerWeightTransferEngine.trainer_init(
        GlooTrainerInitInfo("127.0.0.1", port, world_size=2, rank=0), client=worker
    )
    opened = set(listening()) - before
    assert ("127.0.0.1", port) in opened
    assert not {address for address, _ in opened} & {"::", "0.0.0.0"}
    received = torch.zeros(3)
    with ThreadPoolExecutor() as threads:
        threads.submit(lambda: worker.group.broadcast(received, 0).wait())
        trainer.group.broadcast(torch.arange(3.0), 0).wait()
    assert received.tolist() == [0, 1, 2]


def listening() -> Iterator[tuple[str, int]]:
    """Addresses and ports that this process listens on."""
    return (tuple(c.laddr) for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN)
