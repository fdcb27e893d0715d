"""Deals sequences to ranks as micro-batches, so that all ranks do as many and about as much work in each.

Boundary: lengths alone; what the sequences are, and why they are trained on, is the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence


def deal(
    lengths: Sequence[int],
    ranks: int,
    max_sequences: float = math.inf,
    max_tokens: float = math.inf,
    groups: Sequence[Hashable] | None = None,
) -> list[list[list[int]]]:
    """Micro-batches of at most that many sequences and tokens; a sequence longer than that is one by itself.

    The longest sequences come first, each to the rank that has the fewest tokens in the round. What is in a round is
    therefore of similar length: little padding, and no rank waits long for another in a collective pass.
    Of groups those come first that have the longest sequence, so that the members of one are next to each other, and in
    as few rounds as can be.

    Args:
        lengths: [N] tokens of each sequence.
        groups: [N] to which each belongs; None if each is by itself.

    Returns:
        Rounds, in each of them for every rank the indices of its micro-batch. Ranks of the last round may have none.
    """
    rounds: list[list[list[int]]] = []
    tokens: list[int] = []  # of each rank, in the last round
    for index in _longest_first(lengths, groups or range(len(lengths))):
        with_room = [
            rank
            for rank, held in enumerate(rounds[-1] if rounds else [])
            if not held or (len(held) < max_sequences and tokens[rank] + lengths[index] <= max_tokens)
        ]
        if not with_room:
            rounds.append([[] for _ in range(ranks)])
            tokens, with_room = [0] * ranks, list(range(ranks))
        rank = min(with_room, key=lambda one: tokens[one])
        rounds[-1][rank].append(index)
        tokens[rank] += lengths[index]
    return rounds


def _longest_first(lengths: Sequence[int], groups: Sequence[Hashable]) -> list[int]:
    """All indices, the groups one after the other; ties in the order given."""
    members: dict[Hashable, list[int]] = {}
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True):
        members.setdefault(groups[index], []).append(index)
    return [index for group in members.values() for index in group]
