"""Prompts whose predicted pass rate is near one half: a Bayesian logistic model, sampled a few times."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.selection.base import (
    Candidate,
    Prediction,
    PromptOutcome,
    PromptSelector,
    SeededSelector,
    entropies,
    perplexities,
)
from prepo_rlhf.selection.logit_drift import LogitDrift, observed_logit
from prepo_rlhf.selection.pass_rate_model import Coefficients, Offsets, laplace_update, pass_rate_moments
from prepo_rlhf.selection.success_rates import num_right

SIGNALS = ("perplexity", "length", "history")
WITH_ENTROPY = {  # the choices of --prepo.calibrated_uses that take in what is no signal by default
    "and-entropy": (*SIGNALS, "entropy"),
    "entropy-for-perplexity": ("length", "history", "entropy"),
}
PRIOR_VARIANCE = 4.0  # of a coefficient
OFFSET_VARIANCE = 1.5**2  # of the logit of a prompt never seen, around the regression
COEFFICIENT_MEMORY = 0.95  # discount factor of the evidence, for each step
OFFSET_MEMORY = 0.9  # correlation of a prompt's offset with that at its last visit
LARGEST_FEATURE = 3.0
DRAWS = 4  # of the pass rates, whose mean usefulness decides


class CalibratedSelector(SeededSelector):
    """Candidates whose sampled pass rate is near 1/2; the posterior is given perplexity, length and history.

    A group teaches most where its pass rate p is near 1/2: rewards have variance p (1 - p). Perplexity says something
    about p, but what, and how much, differs between data sets and changes as the policy learns. So it is learnt:

        logit p_i = w . (1, log perplexity, log length) + b_i

    Perplexity and length are relative to the candidates at hand (standardised over them, cut off at 3 standard
    deviations), so a drift of all perplexities changes nothing. The offset b_i is how prompt i deviates from the
    regression: N(0, 1.5^2) for one never seen, updated by its groups, and decaying by 0.9 from visit to
    visit, its variance growing back accordingly. After each step the posterior of w and b is updated from the rewards
    (`laplace_update`); before that the evidence for w is discounted, precision <- 0.95 precision + 0.05 prior's, so
    that w follows the policy, while its variance can't exceed the prior's.

    Selection draws w and every candidate's b_i, DRAWS times, and takes the K candidates of the highest mean p (1 - p)
    over the draws. A few draws are between two known rules:

    - One draw is Thompson sampling: a prompt is taken about as often as it is likely to be among those nearest 1/2.
      Uncertain prompts are explored, and batches are diverse; but a single draw of b_i is noisy, and many groups have
      no gradient.
    - Infinitely many give E[p (1 - p)]: the fewest groups without a gradient, but a batch of prompts that look alike.
      In training that was slower than Random where most prompts can be solved sometimes.

    In training, the gain of 4 draws over one is less than the spread of seeds. Where few prompts can be solved
    sometimes, both need fewer rollouts than Random; where most can, about as many (docs/results/selectors.md).

    To see what each signal adds, --prepo.calibrated_uses leaves some out: perplexity or length with their feature,
    history by giving all prompts the offset of one never seen. It also takes the policy's mean entropy over the prompt,
    HIVE's signal, as a further feature or in the place of perplexity.

    With --prepo.calibrated_memory measured, forgetting follows the policy, after KGPS: with q the variance that a
    training step adds to a logit (`LogitDrift`), a share 1 - q / 1.5^2 of the evidence for w outlives a step, and the
    square of an offset's correlation with its last value is 1 - q steps / 1.5^2, neither below 0.
    """

    needs_scores = True
    predicts = True
    state = ("mean", "precision", "offsets", "pending", "last_metrics")

    def __init__(self, seed: int, signals: Collection[str] = SIGNALS, memory: str = "fixed") -> None:
        super().__init__(seed)
        self._drift = LogitDrift() if memory == "measured" else None
        self.needs_scores, self.needs_entropies = "perplexity" in signals, "entropy" in signals
        self._features = [name for name in FEATURES if name in signals]
        self._has_history = "history" in signals
        size = 1 + len(self._features)
        self._prior_precision = torch.eye(size, dtype=torch.float64) / PRIOR_VARIANCE
        self.mean, self.precision = torch.zeros(size, dtype=torch.float64), self._prior_precision  # of w
        self.offsets: dict[int, tuple[float, float]] = {}  # mean and variance after the prompt's last group
        self.pending: dict[int, list[float]] = {}  # features of selected prompts that wait for their rewards
        self.last_metrics: dict[str, float] = {}

    @classmethod
    def from_options(cls, options: PrepoOptions, seed: int) -> PromptSelector:
        uses = options.calibrated_uses
        without = tuple(name for name in SIGNALS if uses != f"no-{name}")
        return cls(seed, (uses,) if uses in SIGNALS else WITH_ENTROPY.get(uses, without), options.calibrated_memory)

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        if k > len(candidates):
            raise ValueError(f"cannot select {k} of {len(candidates)} candidates")
        features = self._features_of(candidates)
        offsets = self._offsets_now([c.row for c in candidates])
        pass_rates = torch.stack([self._sample(features, offsets) for _ in range(DRAWS)])
        usefulness = (pass_rates * (1 - pass_rates)).mean(dim=0)
        chosen = usefulness.argsort(descending=True, stable=True)[:k]
        predicted, _ = self._pass_rates(features, offsets)
        self.last_metrics["prepo/predicted_pass_rate"] = predicted[chosen].mean().item()
        self.pending |= {candidates[i].row: features[i].tolist() for i in chosen.tolist()}
        return chosen.tolist()

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Mean and variance of each pass rate under the posterior of w and b, as it was for the last selection."""
        mean, variance = self._pass_rates(self._features_of(candidates), self._offsets_now([c.row for c in candidates]))
        return list(map(Prediction, mean.tolist(), variance.tolist()))

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
        """Takes in the groups of a training step; those of prompts not selected here have no features and are left
        out, and of two groups of a prompt selected twice in the meantime the first alone counts."""
        features = [self.pending.pop(outcome.row, None) for outcome in outcomes]
        known = [(outcome, row) for outcome, row in zip(outcomes, features, strict=True) if row is not None]
        if not known:
            return
        groups, rows = zip(*known, strict=True)
        rows = torch.tensor(rows, dtype=torch.float64)
        right = torch.tensor([num_right(group) for group in groups], dtype=torch.float64)
        trials = torch.tensor([len(group.rewards) for group in groups], dtype=torch.float64)
        observed = {group.row: observed_logit(num_right(group), len(group.rewards)) for group in groups}
        memory = COEFFICIENT_MEMORY
        if self._drift is not None:
            self._drift.measure(observed)
            memory = max(0.0, 1 - self._drift.rate / OFFSET_VARIANCE)
        offsets = self._offsets_now([group.row for group in groups])
        predicted, _ = self._pass_rates(rows, offsets)
        self.last_metrics["prepo/calibration_error"] = (predicted - right / trials).abs().mean().item()
        prior = Coefficients(self.mean, self.precision).discounted(memory, self._prior_precision)
        coefficients, offsets = laplace_update(prior, offsets, rows, right, trials)
        self.mean, self.precision = coefficients.mean, coefficients.precision
        if self._has_history:
            moments = zip(offsets.mean.tolist(), offsets.variance.tolist(), strict=True)
            self.offsets |= {group.row: moment for group, moment in zip(groups, moments, strict=True)}
        if self._drift is not None:
            self._drift.record(observed)

    def metrics(self) -> dict[str, float]:
        """Mean predicted pass rate of those selected last; and the mean distance of prediction and pass rate in the
        step observed last. Both predictions are the posterior's mean, before the rewards are known."""
        return dict(self.last_metrics)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | ({} if self._drift is None else {"drift": self._drift.state_dict()})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if self._drift is not None:
            self._drift.load_state_dict(state["drift"])

    def _features_of(self, candidates: Sequence[Candidate]) -> Tensor:
        """[N, 1 + D]: a constant, and the features that are used."""
        constant = torch.ones(len(candidates), dtype=torch.float64)
        return torch.stack([constant, *(FEATURES[name](candidates) for name in self._features)], dim=-1)

    def _pass_rates(self, features: Tensor, offsets: Offsets) -> tuple[Tensor, Tensor]:
        """Mean and variance [N] of the pass rates under the posterior."""
        of_regression = Coefficients(self.mean, self.precision).variance(features)
        return pass_rate_moments(features @ self.mean + offsets.mean, of_regression + offsets.variance)

    def _sample(self, features: Tensor, offsets: Offsets) -> Tensor:
        """[N] pass rates from the posterior."""
        coefficients = Coefficients(self.mean, self.precision).sample(self._generator)
        return torch.sigmoid(features @ coefficients + offsets.sample(self._generator))

    def _offsets_now(self, indices: Sequence[int]) -> Offsets:
        """The priors of the prompts' offsets at their next visit: decayed since the last one."""
        moments = [self.offsets.get(index, (0.0, OFFSET_VARIANCE)) for index in indices]
        mean, variance = torch.tensor(moments, dtype=torch.float64).unbind(-1)
        memory = torch.tensor([self._offset_memory(index) for index in indices], dtype=torch.float64)
        share = memory**2
        return Offsets(memory * mean, share * variance + (1 - share) * OFFSET_VARIANCE)

    def _offset_memory(self, index: int) -> float:
        """The correlation of a prompt's offset with that after its last group."""
        if self._drift is None or index not in self.offsets:
            return OFFSET_MEMORY
        return math.sqrt(max(0.0, 1 - self._drift.since_last_group(index) / OFFSET_VARIANCE))


def _log_perplexity(candidates: Sequence[Candidate]) -> Tensor:
    """[N], standardised.

    Raises:
        ValueError: a perplexity is missing, or not a finite number.
    """
    log_ppl = perplexities(candidates).log()
    if not log_ppl.isfinite().all():
        raise ValueError("a candidate's perplexity is not a finite number above 0: no pass rate can be predicted")
    return _standardised(log_ppl)


def _log_length(candidates: Sequence[Candidate]) -> Tensor:
    """[N], standardised."""
    return _standardised(torch.tensor([c.num_tokens for c in candidates], dtype=torch.float64).log1p())


def _standardised(values: Tensor) -> Tensor:
    """Zero mean and unit deviation, cut off; zeros where all values are alike."""
    deviation = values.std(correction=0).clamp_min(1e-6)
    return ((values - values.mean()) / deviation).clamp(-LARGEST_FEATURE, LARGEST_FEATURE)


def _entropy(candidates: Sequence[Candidate]) -> Tensor:
    """[N], standardised."""
    return _standardised(entropies(candidates))


FEATURES = {"perplexity": _log_perplexity, "length": _log_length, "entropy": _entropy}
