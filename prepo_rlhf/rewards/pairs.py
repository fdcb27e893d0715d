"""What an answer and its gold have in common, where both have it.

Boundary: standard library only.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def both(first: T | None, second: T | None) -> tuple[T, T] | None:
    """The two, or None where either is missing."""
    return None if first is None or second is None else (first, second)
