"""Packing of weights into messages: both ends cut alike, and every byte comes back."""

from __future__ import annotations

import pytest
import torch

from prepo_rlhf import backends

backends.activate()
from vllm.distributed.weight_transfer.base import ParamMeta  # noqa: E402

from prepo_rlhf.backends.gloo_weight_transfer import messages, num_bytes, unpack  # noqa: E402

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
