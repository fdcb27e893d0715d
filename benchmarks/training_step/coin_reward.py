"""A reward for models that have learned nothing: half of the prompts pay by a coin, the others never.

The coin is the response's checksum, so that groups of 8 are mixed but for one in 128, and half of all sequences teach.
Boundary: OpenRLHF's `reward_func` interface, loaded by path.
"""

from __future__ import annotations

from zlib import crc32

import torch


def reward_func(queries: list[str], prompts: list[str], labels: list[str], **_: object) -> dict[str, object]:
    """Rewards of 0 or 1 of N queries, each a prompt and a response as one text."""
    pays = [crc32(prompt.encode()) % 2 for prompt in prompts]
    rewards = torch.tensor([float(pay * (crc32(q.encode()) % 2)) for pay, q in zip(pays, queries, strict=True)])
    return {"rewards": rewards, "scores": rewards.clone(), "extra_logs": {}}
