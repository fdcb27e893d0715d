"""The paper in pure torch: prompt perplexity, its schedule, entropies and weights, the weighted objective, signals.

Boundary: imports torch and the standard library only; knows nothing of Ray, vLLM, DeepSpeed, OpenRLHF or options.
"""

from prepo_rlhf.algorithm.entropy_weights import relative_entropy_weights, sequence_mean_entropy, weight_metrics
from prepo_rlhf.algorithm.importance_correction import ImportanceCorrection
from prepo_rlhf.algorithm.learning_signal import training_signals
from prepo_rlhf.algorithm.length_bins import length_bins
from prepo_rlhf.algorithm.perplexity import prompt_perplexity
from prepo_rlhf.algorithm.policy_loss import PolicyLoss
from prepo_rlhf.algorithm.ppl_window import PACINGS, ppl_window, progress, window_start
from prepo_rlhf.output_head.chunked import OutputHead, head_statistics, log_probs_and_entropies

__all__ = [
    "PACINGS",
    "ImportanceCorrection",
    "OutputHead",
    "PolicyLoss",
    "head_statistics",
    "length_bins",
    "log_probs_and_entropies",
    "ppl_window",
    "progress",
    "prompt_perplexity",
    "relative_entropy_weights",
    "sequence_mean_entropy",
    "training_signals",
    "weight_metrics",
    "window_start",
]
