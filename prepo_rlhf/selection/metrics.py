"""Metrics that every selector working on perplexities shares.

Boundary: knows candidates, no selector.
"""

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
    metrics = {
        "prepo/ppl_candidates_p10": offered.quantile(0.1).item(),
        "prepo/ppl_candidates_p50": offered.quantile(0.5).item(),
        "prepo/ppl_candidates_p90": offered.quantile(0.9).item(),
    }
    if selected:
        metrics |= {
            "prepo/ppl_selected_min": chosen.min().item(),
            "prepo/ppl_selected_mean": chosen.mean().item(),
            "prepo/ppl_selected_max": chosen.max().item(),
        }
    return metrics
