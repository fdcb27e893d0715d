"""The paper in pure torch: prompt perplexity, its window, entropy weights, the weighted objective, learning signal.

Boundary: imports torch and the standard library only; knows nothing of Ray, vLLM, DeepSpeed, OpenRLHF or options.
"""

from prepo_rlhf.algorithm.entropy_weights import relative_entropy_weights, sequence_mean_entropy, weight_metrics
from prepo_rlhf.algorithm.learning_signal import training_signals
from prepo_rlhf.algorithm.length_bins import length_bins
from prepo_rlhf.algorithm.perplexity import prompt_perplexity
from prepo_rlhf.algorithm.ppl_window import PACINGS, ppl_window, progress, window_start
from prepo_rlhf.algorithm.weighted_advantages import weighted_advantages

__all__ = [
    "PACINGS",
    "length_bins",
    "ppl_window",
    "progress",
    "prompt_perplexity",
    "relative_entropy_weights",
    "sequence_mean_entropy",
    "training_signals",
    "weight_metrics",
    "weighted_advantages",
    "window_start",
]
