"""The paper in pure torch: prompt perplexity, its window, entropy weights, the weighted objective, learning signal.

Boundary: imports torch and the standard library only; knows nothing of Ray, vLLM, DeepSpeed, OpenRLHF or options.
"""

from prepo_rlhf.algorithm.entropy_weights import relative_entropy_weights, sequence_mean_entropy, weight_metrics
from prepo_rlhf.algorithm.importance_correction import ImportanceCorrection
from prepo_rlhf.algorithm.learning_signal import training_signals
from prepo_rlhf.algorithm.length_bins import length_bins
from prepo_rlhf.algorithm.perplexity import prompt_perplexity
from prepo_rlhf.algorithm.policy_loss import PolicyLoss
from prepo_rlhf.algorithm.ppl_window import PACINGS, ppl_window, progress, window_start

__all__ = [
    "PACINGS",
    "ImportanceCorrection",
    "PolicyLoss",
    "length_bins",
    "ppl_window",
    "progress",
    "prompt_perplexity",
    "relative_entropy_weights",
    "sequence_mean_entropy",
    "training_signals",
    "weight_metrics",
    "window_start",
]
