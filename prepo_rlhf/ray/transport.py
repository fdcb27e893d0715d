"""What the weights travel by, from the policy to the engines; both sides are told.

Boundary: the name alone, so that who starts engines imports nothing of the policy's side, `weight_sync`.
"""

from __future__ import annotations

from typing import Any

from prepo_rlhf import backends


def transfer_backend(args: Any) -> str:
    """The transport of a job: `--vllm.sync_backend`, or by default gloo on CPU, IPC when the engines share the
    policy's GPUs, and NCCL otherwise."""
    if args.vllm.sync_backend:
        return args.vllm.sync_backend
    if backends.current_backend() == "cpu":
        return "gloo"
    return "ipc" if args.train.colocate_all and not args.train.async_enable else "nccl"
