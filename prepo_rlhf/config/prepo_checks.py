"""Refuses options of choosing prompts, of weights and of groups that can't work together, each with the remedy.

Boundary: rules for `checks.check`, one line a problem; what a user's selector does is asked by `trainer.preflight`.
"""

from __future__ import annotations

from collections.abc import Iterator

from prepo_rlhf.config.root import Config
from prepo_rlhf.config.selectors import PREDICTING, is_own
from prepo_rlhf.config.training import AlgoOptions, PrepoOptions

GROUP_ESTIMATORS = ("rloo", "reinforce_baseline", "group_norm", "dr_grpo")
PACED_SELECTORS = ("prepo", "length")
PPL_WINDOW_SELECTORS = ("prepo", "low-ppl", "high-ppl")
DROPPING_SELECTORS = ("greso",)
# The estimators that look at one group alone, whatever its size.
PILOT_ESTIMATORS = ("group_norm", "rloo", "dr_grpo", "posterior")
# Of the group prepo: option -> the only selector that reads it.
OPTIONS_OF_ONE = {
    "dps_lambda": "dps", "bots_lambda": "bots", "bots_rho": "bots", "calibrated_uses": "calibrated",
    "calibrated_memory": "calibrated",
}  # fmt: skip


def _windows(c: Config) -> Iterator[str]:
    selector, pacing, bins = c.prepo.selector, c.prepo.pacing, c.prepo.ppl_length_bins
    candidates, k = c.prepo.candidate_batch_size, c.rollout.batch_size
    if candidates < k:
        yield (
            f"--prepo.candidate_batch_size {candidates} (|B|) is smaller than --rollout.batch_size {k} (K), "
            f"so there is nothing to select: make it at least {k}"
        )
    if pacing != "linear" and selector not in PACED_SELECTORS:
        yield (
            f"--prepo.pacing {pacing}: --prepo.selector {selector} has no moving window; "
            "remove it, or take --prepo.selector prepo"
        )
    if pacing == "feedback" and selector == "length":
        yield "--prepo.pacing feedback looks at perplexities: take --prepo.selector prepo, or another pacing"
    if bins > 1 and (selector not in PPL_WINDOW_SELECTORS or pacing == "feedback"):
        yield (
            f"--prepo.ppl_length_bins {bins}: only the windows of --prepo.selector prepo (with --prepo.pacing linear, "
            "sqrt or quadratic), low-ppl and high-ppl are cut into bins; remove it"
        )
    if bins > k:
        yield (
            f"--prepo.ppl_length_bins {bins} is more than --rollout.batch_size {k} (K), so some bins would give no "
            f"prompt: make it at most {k}"
        )
    for name, reader in OPTIONS_OF_ONE.items():
        value = getattr(c.prepo, name)
        if value != getattr(PrepoOptions, name) and selector != reader:
            yield f"--prepo.{name} {value} is read by --prepo.selector {reader} only, not by {selector}: remove it"
    keys = c.data.reference_rate_keys
    if selector == "bots" and keys is None:
        yield (
            "--prepo.selector bots needs --data.reference_rate_keys: name the two columns of each prompt's pass rates "
            "under a weak and a strong reference model"
        )
    if selector != "bots" and keys is not None:
        yield f"--data.reference_rate_keys is read by --prepo.selector bots only, not by {selector}: remove it"


def _weights(c: Config) -> Iterator[str]:
    clip = c.prepo.weight_clip
    if clip is not None and not 0 <= clip[0] <= clip[1]:
        yield f"--prepo.weight_clip {clip[0]} {clip[1]}: give LOW HIGH with 0 <= LOW <= HIGH"
    if c.prepo.weight_balance == "sign" and c.prepo.entropy_weight == "none":
        yield "--prepo.weight_balance sign: --prepo.entropy_weight none leaves no weights to balance; remove one"


def _groups(c: Config) -> Iterator[str]:
    n, estimator, selector = c.rollout.n_samples_per_prompt, c.algo.advantage.estimator, c.prepo.selector
    if n < 2 and estimator in GROUP_ESTIMATORS:
        yield (
            f"--rollout.n_samples_per_prompt {n}: {estimator} compares the rollouts of one prompt, so every advantage "
            "would be 0; give at least 2"
        )
    if n < 2 and selector in DROPPING_SELECTORS:
        yield (
            f"--rollout.n_samples_per_prompt {n}: --prepo.selector {selector} drops groups of equal rewards, so every "
            "group of one; give at least 2"
        )
    enabled, criterion = c.algo.dynamic_filtering_enable, c.algo.dynamic_filtering_criterion
    low, high = c.algo.dynamic_filtering_range
    if enabled and n < 2:
        yield f"--rollout.n_samples_per_prompt {n}: --algo.dynamic_filtering_enable needs at least 2"
    if enabled and not low < high:
        yield f"--algo.dynamic_filtering_range {low} {high}: give LOW HIGH with LOW < HIGH"
    if criterion == "zero-variance" and not enabled:
        yield "--algo.dynamic_filtering_criterion zero-variance needs --algo.dynamic_filtering_enable: add it"
    if criterion == "zero-variance" and (low, high) != AlgoOptions.dynamic_filtering_range:
        yield (
            f"--algo.dynamic_filtering_range {low} {high} means nothing to --algo.dynamic_filtering_criterion "
            "zero-variance: remove one of them"
        )


def _posterior(c: Config) -> Iterator[str]:
    if c.algo.advantage.estimator != "posterior":
        return
    option = "--algo.advantage.estimator posterior"
    if c.prepo.selector not in PREDICTING and not is_own(c.prepo.selector):
        yield (
            f"{option}: --prepo.selector {c.prepo.selector} predicts no pass rate to have in the baseline; take the "
            f"selector {' or '.join(PREDICTING)}, or another estimator"
        )
    truncated, bonus = c.reward.stop_properly_penalty_coef, c.reward.math.format_coef
    only = f"{option} takes rewards from 0 to 1 only; remove it, or take group_norm"
    if c.reward.overlong_buffer_len is not None:
        yield f"--reward.overlong_buffer_len {c.reward.overlong_buffer_len}: {only}"
    if truncated is not None and truncated < 0:
        yield f"--reward.stop_properly_penalty_coef {truncated}: {only}"
    if c.reward.remote_url == "math" and bonus:
        yield f"--reward.math.format_coef {bonus}: {only}"


def _allocation(c: Config) -> Iterator[str]:
    pilot, n, k = c.prepo.pilot_samples, c.rollout.n_samples_per_prompt, c.rollout.batch_size
    if c.prepo.allocation == "fixed":
        if pilot is not None:
            yield f"--prepo.pilot_samples {pilot} is read with --prepo.allocation pilot only: add that, or remove it"
        return
    option, candidates = "--prepo.allocation pilot", c.prepo.candidate_batch_size
    divisors = [size for size in range(2, n) if n % size == 0]
    if pilot not in divisors:
        remedy = f"take {' or '.join(map(str, divisors))}" if divisors else "raise the latter to a number that has one"
        yield (
            f"--prepo.pilot_samples {pilot}: must be a divisor of --rollout.n_samples_per_prompt {n}, from 2 and below "
            f"it, so that the rollouts of a step always suffice for whole pilots: {remedy}"
        )
    elif candidates < k * n // pilot:
        yield (
            f"--prepo.candidate_batch_size {candidates}: with {option} a step may take {k * n // pilot} prompts, when "
            f"all stay with their pilot: make it at least that, or raise --prepo.pilot_samples {pilot}"
        )
    if c.prepo.selector in DROPPING_SELECTORS:
        yield f"{option} keeps the groups that --prepo.selector {c.prepo.selector} would drop: take another selector"
    if c.prepo.selector == "hive":
        yield f"{option} selects from what is left too, and --prepo.selector hive has a median of whole ones: change it"
    if c.prepo.ppl_length_bins > 1:
        yield f"{option}: further prompts come one by one, and --prepo.ppl_length_bins above 1 takes many; remove one"
    if c.algo.dynamic_filtering_enable:
        yield f"{option} keeps the groups that --algo.dynamic_filtering_enable would drop: remove one of them"
    if c.train.agent_func_path:
        yield f"{option}: not with the rollouts of an agent, --train.agent_func_path; remove one of them"
    if c.algo.advantage.estimator not in PILOT_ESTIMATORS:
        yield (
            f"{option} makes groups of different sizes, which --algo.advantage.estimator {c.algo.advantage.estimator} "
            f"does not take: give {', '.join(PILOT_ESTIMATORS[:-1])} or {PILOT_ESTIMATORS[-1]}"
        )


PREPO_RULES = (_windows, _weights, _groups, _posterior, _allocation)
