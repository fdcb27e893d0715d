"""Prompt selection before rollout: the selector protocol, one file a selector, and the prompt stream.

Boundary: imports torch, `prepo_rlhf.algorithm` and what stands below it; knows nothing of Ray, vLLM or OpenRLHF; of
the options it reads those of `--prepo`.
"""

from prepo_rlhf.config.selectors import SELECTORS
from prepo_rlhf.prompts.prompt import Prompt
from prepo_rlhf.selection.base import Candidate, Prediction, PromptOutcome, PromptSelector
from prepo_rlhf.selection.metrics import perplexity_metrics
from prepo_rlhf.selection.prompt_stream import PromptStream, Selection
from prepo_rlhf.selection.registry import make_selector

__all__ = [
    "SELECTORS",
    "Candidate",
    "Prediction",
    "Prompt",
    "PromptOutcome",
    "PromptSelector",
    "PromptStream",
    "Selection",
    "make_selector",
    "perplexity_metrics",
]
