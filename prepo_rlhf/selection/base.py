"""The selector protocol: what a selector is given, what it must return, and what it is told afterwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.prompts.prompt import Prompt


class Prediction(NamedTuple):
    """What is believed of a prompt's pass rate before its rollouts: its mean, in (0, 1), and its variance."""

    mean: float
    variance: float


@dataclass(frozen=True)
class Candidate:
    """A prompt that may get rollouts.

    Attributes:
        perplexity, entropy: under the current policy, the latter the mean over the prompt's tokens in nats; None where
            they are not asked for.
        prediction: the selector's, when it chose the prompt; None if it is one that predicts nothing.
    """

    prompt: Prompt
    perplexity: float | None = None
    entropy: float | None = None
    prediction: Prediction | None = None

    def outcome(self, rewards: tuple[float, ...]) -> PromptOutcome:
        """What its rollouts came to."""
        predicted = self.prediction.mean if self.prediction else None
        return PromptOutcome(self.row, rewards, self.perplexity, self.num_tokens, predicted)

    @property
    def row(self) -> int:
        """The prompt's row in the data, which identifies it over the whole run."""
        return self.prompt.row

    @property
    def num_tokens(self) -> int:
        """Length of the prompt as the model reads it."""
        return len(self.prompt.token_ids)


@dataclass(frozen=True)
class PromptOutcome:
    """Rewards of one prompt's rollouts; the rest is the candidate's, `predicted` the mean of its prediction."""

    row: int
    rewards: tuple[float, ...]
    perplexity: float | None = None
    num_tokens: int = 0
    predicted: float | None = None


def perplexities(candidates: Sequence[Candidate]) -> Tensor:
    """Perplexities of scored candidates as [N] float64.

    Raises:
        ValueError: a candidate has not been scored.
    """
    unscored = [c.row for c in candidates if c.perplexity is None]
    if unscored:
        raise ValueError(f"the prompts of rows {unscored} have no perplexity: this selector needs scored candidates")
    return torch.tensor([c.perplexity for c in candidates], dtype=torch.float64)


def entropies(candidates: Sequence[Candidate]) -> Tensor:
    """Their mean entropies in nats, as [N] float64.

    Raises:
        ValueError: a candidate has none.
    """
    if missing := [c.row for c in candidates if c.entropy is None]:
        raise ValueError(f"the prompts of rows {missing} have no entropy: this selector needs candidates with one")
    return torch.tensor([c.entropy for c in candidates], dtype=torch.float64)


class PromptSelector(ABC):
    """Chooses which candidates get rollouts. A new selector needs `select`; the rest has defaults.

    Attributes:
        needs_scores: whether candidates must carry a perplexity.
        needs_entropies: whether they must carry an entropy; if both are False, no prompt is scored.
        drops_zero_variance: whether groups whose rewards are all equal are dropped after rollout, and replaced.
        predicts: whether it predicts pass rates, with `predict`.
        state: names of the attributes that a resumed run needs; saved as they are when `state_dict` is called.
    """

    needs_scores: bool = False
    needs_entropies: bool = False
    drops_zero_variance: ClassVar[bool] = False
    predicts: ClassVar[bool] = False
    state: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_options(cls, options: PrepoOptions, seed: int) -> PromptSelector:
        """The selector that `options` and the run's seed ask for."""
        return cls()

    @abstractmethod
    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        """Positions in `candidates` of the distinct prompts to roll out, in that order; `progress` runs from 0 to 1.

        `k` of them; a selector that drops groups may return more (replacements, used as needed) or fewer.
        """

    def predict(self, candidates: Sequence[Candidate]) -> Sequence[Prediction]:
        """What is believed now of each candidate's pass rate: the mean reward of its rollouts, for rewards of 0 and 1.

        Called right after `select` with the same candidates, where the class says `predicts`; changes nothing.
        """
        raise NotImplementedError("the class says that it predicts, and defines no predict")

    def rollout_batch(self, missing: int, k: int) -> int:
        """How many prompts to have in rollout at once while `missing` of the step's `k` groups are still wanted."""
        return missing

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:  # noqa: B027 (most selectors learn nothing)
        """Called with the rewards of the prompts rolled out last."""

    def metrics(self) -> dict[str, float]:
        """Numbers about the last selection, for the run's metrics."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to choose as the unbroken one would."""
        return {name: deepcopy(getattr(self, name)) for name in self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        for name in self.state:
            setattr(self, name, deepcopy(state[name]))


class SeededSelector(PromptSelector):
    """A selector that samples with a random generator of its own; no global random state is read or changed."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    @classmethod
    def from_options(cls, options: PrepoOptions, seed: int) -> PromptSelector:
        return cls(seed)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._generator.set_state(state["generator"])
