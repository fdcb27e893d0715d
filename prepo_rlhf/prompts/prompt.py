"""The record that one row of the user's data becomes: everything that scoring, generation and grading need of it.

Boundary: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prompt:
    """A prompt as the model reads it.

    Attributes:
        text: what `token_ids` are the tokens of.
        token_ids: complete: nothing is added when it is generated from.
        scored: half-open range of token positions that count for its perplexity (`--prepo.ppl_tokens`); never
            position 0, which has no predecessor.
        label: the reference answer as the data has it, for the reward.
        row: its row in the data, which identifies it over the whole run.
        datasource: name of the data set that it came from.
        reference_rates: its pass rates under a weak and a strong reference model, if the data is read for them.
    """

    text: str
    token_ids: list[int]
    scored: tuple[int, int]
    label: Any
    row: int
    datasource: str = "default"
    reference_rates: tuple[float, float] | None = None
