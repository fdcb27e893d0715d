"""The selectors by the names of `--prepo.selector`: a line each, `name: "module:class"`; or a class in a user's file.

Boundary: names alone; `prepo_rlhf.selection.registry` imports the one that is asked for.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator

SELECTORS = {
    "prepo": "prepo_rlhf.selection.ppl_schedule:PplScheduleSelector",
    "low-ppl": "prepo_rlhf.selection.static_ppl:LowPplSelector",
    "high-ppl": "prepo_rlhf.selection.static_ppl:HighPplSelector",
    "random": "prepo_rlhf.selection.random_k:RandomKSelector",
    "length": "prepo_rlhf.selection.length_schedule:LengthScheduleSelector",
    "mopps": "prepo_rlhf.selection.mopps:MoppsSelector",
    "calibrated": "prepo_rlhf.selection.calibrated:CalibratedSelector",
    "dps": "prepo_rlhf.selection.dps:DpsSelector",
    "bots": "prepo_rlhf.selection.bots:BotsSelector",
    "kgps": "prepo_rlhf.selection.kgps:KgpsSelector",
    "hive": "prepo_rlhf.selection.hive:HiveSelector",
    "greso": "prepo_rlhf.selection.greso:GresoSelector",
}
# Those whose class says `needs_scores`, for a plan, which counts the scoring and imports no selector.
SCORED = ("prepo", "low-ppl", "high-ppl", "calibrated")
# Those whose class says `predicts`, for --algo.advantage.estimator posterior.
PREDICTING = ("mopps", "calibrated", "bots", "kgps")
# Those whose class says `needs_entropies`, which the policy computes whatever --prepo.score_with says.
WITH_ENTROPIES = ("hive",)


def is_own(selector: str) -> bool:
    """Whether it is a class in a file of the user's, `path/to/file.py:Class`."""
    path, _, name = selector.rpartition(":")
    return path.endswith(".py") and name.isidentifier()


def _known(selector: str) -> str:
    if selector in SELECTORS or is_own(selector):
        return selector
    similar = get_close_matches(selector, SELECTORS, 1)
    meant = f" (did you mean {similar[0]}?)" if similar else ""
    raise ValueError(f"must be one of {', '.join(SELECTORS)}, or a class of your own, path/to/file.py:Class{meant}")


SelectorName = Annotated[str, AfterValidator(_known)]
