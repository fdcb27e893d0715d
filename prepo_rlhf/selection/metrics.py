"""Metrics that every selector working on perplexities shares."""

from __future__ import annotations

from collections.abc import Sequence

from prepo_rlhf.selection.base import Candidate, perplexities


def perplexity_metrics(candidates: Sequence[Candidate], selected: Sequence[Candidate]) -> dict[str, float]:
    """Perplexity range of the candidates (10th, 50th, 90th percentile) and of the selected (min, mean, max).

    The latter is left out where none was selected.

    Raises:
        ValueError: a candidate has not been scored.
    """
    offered, chosen = perplexities(candidates), perplexities(selected)
    metrics = {f"prepo/ppl_candidates_p{percent}": offered.quantile(percent / 100).item() for percent in (10, 50, 90)}
    if selected:
        spread = {"min": chosen.min(), "mean": chosen.mean(), "max": chosen.max()}
        metrics |= {f"prepo/ppl_selected_{name}": value.item() for name, value in spread.items()}
    return metrics
