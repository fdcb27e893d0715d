"""The stream of selected prompts, in place of a data loader: each window is selected when it is needed, under the
current policy.

Boundary: `prepo_rlhf.algorithm` and torch; scoring is a function it is given.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from threading import Lock
from typing import Any

import torch

from prepo_rlhf.algorithm.ppl_window import progress
from prepo_rlhf.config.base import differences
from prepo_rlhf.prompts.prompt import Prompt
from prepo_rlhf.selection.base import Candidate, PromptOutcome, PromptSelector
from prepo_rlhf.selection.checked import CheckedSelector
from prepo_rlhf.selection.metrics import perplexity_metrics

# Odd and larger than any number of episodes: keeps the shuffles of different (seed, episode) apart.
_SEED_STRIDE = 1_000_003


@dataclass(frozen=True)
class Selection:
    """The result of one draw, that is of selecting from one batch of candidates.

    Attributes:
        draw: number of the draw in the run, from 0.
        progress: rho at this draw, from 0 at the first to 1 at the last.
        selected: the candidates chosen, as a rule K, in the selector's order; with their perplexity if scored, and
            what the selector predicted if it is one that predicts.
        metrics: prepo/progress, timing/score_prompts (seconds), the selector's own, and the perplexity ranges.
    """

    draw: int
    progress: float
    selected: list[Candidate]
    metrics: dict[str, float]


class PromptStream:
    """Seeded, resumable stream of selected prompts.

    Every episode shuffles the dataset anew and cuts it into whole batches of |B| candidates; what is left over is
    dropped. A draw takes the next batch, scores it if the selector asks, and selects K (more or fewer if the selector
    drops groups).

    One thread may draw while another reports outcomes. Outcomes are late then: a run that resumes repeats the draws
    whose rollouts were not trained on, and takes over the outcomes observed since their state was saved (see
    `up_to_date`).

    Args:
        num_candidates: |B|.
        num_selected: K.
        num_episodes: passes over the dataset.
        seed: of the shuffles.
        score: perplexities of candidates under the current policy; None if the selector needs none.
        entropies: mean entropies over their prompts, likewise.

    Raises:
        ValueError: sizes that allow no draw, or a selector that needs scores or entropies without their function.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        selector: PromptSelector,
        num_candidates: int,
        num_selected: int,
        num_episodes: int,
        seed: int,
        score: Callable[[list[Candidate]], list[float]] | None = None,
        entropies: Callable[[list[Candidate]], list[float]] | None = None,
    ) -> None:
        if not 1 <= num_selected <= num_candidates:
            raise ValueError(
                f"--prepo.candidate_batch_size {num_candidates} must be at least --rollout.batch_size {num_selected}"
            )
        if num_candidates > len(prompts):
            raise ValueError(
                f"--prepo.candidate_batch_size {num_candidates} is more than the {len(prompts)} prompts of "
                "--data.prompt_dataset: lower it or bring more prompts"
            )
        if selector.needs_scores and score is None:
            raise ValueError("the selector needs perplexities, but there is no function to score prompts with")
        if selector.needs_entropies and entropies is None:
            raise ValueError("the selector needs entropies, but there is no function that gives those of prompts")
        self.selector = CheckedSelector(selector)
        self._prompts = prompts
        self._num_candidates = num_candidates
        self._num_selected = num_selected
        self._seed = seed
        self._score = score if selector.needs_scores else None
        self._entropies = entropies if selector.needs_entropies else None
        self._draws_per_episode = len(prompts) // num_candidates
        self.total_draws = num_episodes * self._draws_per_episode
        self._fingerprint = {
            "data.prompt_dataset": f"{len(prompts)} prompts",
            "prepo.candidate_batch_size": num_candidates,
            "rollout.batch_size": num_selected,
            "train.seed": seed,
        }
        self._next_draw = 0
        self._order: tuple[int, list[int]] = (-1, [])
        self._left: list[Candidate] = []  # of the last draw, not selected yet
        self._in_use = Lock()  # the selector
        self._num_observed = 0
        self._observed: deque[Sequence[PromptOutcome]] = deque()  # the last ones, for `up_to_date`

    @property
    def exhausted(self) -> bool:
        """Whether the run's last window has been drawn."""
        return self._next_draw >= self.total_draws

    def draw(self) -> Selection | None:
        """Scores the next |B| candidates and selects K of them; None when the run's draws are used up."""
        if self.exhausted:
            return None
        draw = self._next_draw
        candidates, seconds = self._scored(self._candidates(draw))
        rho = progress(draw, self.total_draws)
        with self._in_use:
            selected = self._select(candidates, self._num_selected, rho)
            metrics = {"prepo/progress": rho, "timing/score_prompts": seconds, **self.selector.metrics()}
        if self.selector.needs_scores:
            metrics |= perplexity_metrics(candidates, selected)
        self._next_draw += 1
        return Selection(draw, rho, selected, metrics)

    def draw_more(self, count: int) -> list[Candidate]:
        """Selects so many more of the last draw's candidates, among those that it has left."""
        if not count:
            return []
        with self._in_use:
            return self._select(self._left, count, progress(self._next_draw - 1, self.total_draws))

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
        """Tells the selector the outcomes of a training step."""
        with self._in_use:
            self.selector.observe(outcomes)
            self._observed.append(outcomes)
            self._num_observed += 1

    def state_dict(self) -> dict[str, Any]:
        """Position and selector; the shuffles are recomputed from the seed."""
        with self._in_use:
            return {
                "options": dict(self._fingerprint),
                "draw": self._next_draw,
                "selector": self.selector.state_dict(),
                "num_observed": self._num_observed,
                "observed_since": [],
            }

    def up_to_date(self, state: dict[str, Any]) -> dict[str, Any]:
        """An earlier `state` of this stream, with the outcomes observed since; later draws are not in it.

        States have to come in the order in which they were taken; outcomes older than the last are forgotten.
        """
        with self._in_use:
            while len(self._observed) > self._num_observed - state["num_observed"]:
                self._observed.popleft()
            return state | {"observed_since": [[asdict(o) for o in outcomes] for outcomes in self._observed]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues after the draws that `state` has made.

        Raises:
            ValueError: the state was saved with other sizes or another seed.
        """
        if changed := differences(state["options"], self._fingerprint):
            raise ValueError(f"{'; '.join(changed)}: resume a checkpoint with the same values, or start afresh")
        self._next_draw = state["draw"]
        self.selector.load_state_dict(state["selector"])
        for outcomes in state["observed_since"]:
            self.selector.observe([PromptOutcome(**outcome) for outcome in outcomes])

    def _select(self, candidates: list[Candidate], k: int, rho: float) -> list[Candidate]:
        """The selector's choice, in its order; the others are left for `draw_more`."""
        chosen = self.selector.select(candidates, k, rho)
        if self.selector.predicts:  # while it knows what it knew when it chose
            predictions = self.selector.predict(candidates)
            candidates = [replace(c, prediction=p) for c, p in zip(candidates, predictions, strict=True)]
        taken = set(chosen)
        self._left = [candidate for i, candidate in enumerate(candidates) if i not in taken]
        return [candidates[i] for i in chosen]

    def _candidates(self, draw: int) -> list[Candidate]:
        episode, batch = divmod(draw, self._draws_per_episode)
        start = batch * self._num_candidates
        drawn = self._permutation(episode)[start : start + self._num_candidates]
        return [Candidate(self._prompts[i]) for i in drawn]

    def _permutation(self, episode: int) -> list[int]:
        if self._order[0] != episode:
            generator = torch.Generator().manual_seed(self._seed * _SEED_STRIDE + episode)
            self._order = (episode, torch.randperm(len(self._prompts), generator=generator).tolist())
        return self._order[1]

    def _scored(self, candidates: list[Candidate]) -> tuple[list[Candidate], float]:
        """The candidates with what the selector needs of them, and the seconds it took; unchanged if that is none."""
        begin = time.perf_counter()
        if self._score is not None:
            scores = self._score(candidates)
            candidates = [replace(c, perplexity=float(p)) for c, p in zip(candidates, scores, strict=True)]
        if self._entropies is not None:
            entropies = self._entropies(candidates)
            candidates = [replace(c, entropy=float(h)) for c, h in zip(candidates, entropies, strict=True)]
        scored = self._score is not None or self._entropies is not None
        return candidates, time.perf_counter() - begin if scored else 0.0
