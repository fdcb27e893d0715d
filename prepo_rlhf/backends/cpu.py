"""OpenRLHF, DeepSpeed and vLLM on a machine without a GPU.

Written for openrlhf 0.11.2, torch 2.13, deepspeed 0.19.6 and vllm 0.29.0. OpenRLHF calls `torch.cuda` directly:
here these calls return the CPU device. Everything else (Ray's placement groups on logical GPUs, ZeRO, the rollout
engines) runs as it does on GPUs. Nothing in this file is imported on the CUDA backend.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import psutil
import torch

from prepo_rlhf.backends import internals
from prepo_rlhf.config import Config

_CPU = torch.device("cpu")


def engine_arguments(config: Config) -> dict[str, Any]:
    """What vLLM's engines are given on a CPU beyond a GPU's arguments."""
    if not config.train.full_determinism_enable:
        return {}
    # vLLM 0.29 rewinds a seeded request's generator after a partial prefill, which CPU generators cannot do.
    return {"enable_chunked_prefill": False, "max_num_batched_tokens": max(4096, config.data.max_len)}


def patch_torch() -> None:
    """Let the `torch.cuda` calls that OpenRLHF makes return the CPU device, or do nothing."""
    # A function of its own for each name: torch's compiler refuses one object that stands for two.
    torch.cuda.current_device = lambda: _CPU  # pyrefly: ignore[bad-assignment]  # a device, where a GPU has a number
    torch.cuda.set_device = lambda device: None
    torch.cuda.synchronize = lambda device=None: None


def patch_openrlhf() -> None:
    """Let OpenRLHF's replay buffer, which names its device `cuda:N`, keep experience on the CPU."""
    internals.require("openrlhf.trainer.ppo_utils.replay_buffer:NaiveReplayBuffer")
    from openrlhf.trainer.ppo_utils import replay_buffer

    replay_buffer.torch = _TorchOnCpu("torch")  # pyrefly: ignore[bad-assignment]  # stands in for the module


def let_gloo_listen_at(address: str) -> None:
    """Have gloo listen on the interface with this node's `address`, unless the user has named one.

    By default it takes the address that the hostname resolves to, on many machines a loopback one.
    """
    names = [name for name, own in psutil.net_if_addrs().items() if address in (entry.address for entry in own)]
    if names:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", names[0])


class _TorchOnCpu(ModuleType):
    """torch, except that every device is the CPU."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def device(_spec: object) -> torch.device:
        return _CPU
