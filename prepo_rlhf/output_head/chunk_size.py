"""How many tokens' logits exist at once.

Boundary: numbers alone, so that a plan counts with them where torch is not installed.
"""

from __future__ import annotations

# Logits held at once: what is fastest on a GPU (docs/results/performance.md), on a CPU what its cache holds; of enough
# tokens for each reading of the weight.
LOGITS_AT_ONCE, CACHED_LOGITS, LEAST_TOKENS = 2**27, 2**19, 128


def tokens_at_once(vocabulary: int, device: str) -> int:
    """Tokens of a chunk on this type of device."""
    return max(LEAST_TOKENS, (CACHED_LOGITS if device == "cpu" else LOGITS_AT_ONCE) // vocabulary)
