"""A selector behind checks: what it raises is told with its own lines, and what it answers is what was asked for.

Boundary: between the prompt stream and any selector, whoever wrote it.
"""

from __future__ import annotations

import inspect
import math
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from prepo_rlhf.files import user_code
from prepo_rlhf.files.user_code import RAISED, UserCodeError, check_callable, excerpt, quoted
from prepo_rlhf.selection.base import Candidate, Prediction, PromptOutcome, PromptSelector

# What the stream calls, and with how many arguments.
CALLS = {
    "select": 3, "predict": 1, "rollout_batch": 2, "observe": 1, "metrics": 0, "state_dict": 0, "load_state_dict": 1,
}  # fmt: skip


class SelectorError(UserCodeError):
    """A selector raised, or answered something else than it was asked for."""


class CheckedSelector:
    """A selector as the stream calls it; all that it is given is a copy, or cannot be changed.

    Raises:
        SelectorError: it cannot be called as selectors are; and from every method, naming its file.
    """

    def __init__(self, selector: PromptSelector) -> None:
        self._selector = selector
        try:
            self._file = inspect.getsourcefile(type(selector)) or ""
        except TypeError:  # a class that no file defines
            self._file = ""
        self._named = f"--prepo.selector: {type(selector).__name__}" + (f" in {self._file}" if self._file else "")
        self._state_tried = False
        for name, num_arguments in CALLS.items():
            if problem := check_callable(getattr(selector, name), num_arguments):
                raise SelectorError(f"{self._named}: {name} {problem}")
        self.needs_scores = selector.needs_scores
        self.needs_entropies = selector.needs_entropies
        self.drops_zero_variance = selector.drops_zero_variance
        self.predicts = selector.predicts

    def select(self, candidates: Sequence[Candidate], k: int, progress: float) -> list[int]:
        """`k` different positions in `candidates`; more or fewer if the selector drops groups."""
        first = candidates[0]
        given = (
            f"{len(candidates)} candidates (the first: row {first.row}, {first.num_tokens} tokens, perplexity "
            f"{first.perplexity}), k = {k}, progress = {progress:.3f}"
        )
        answer = self._call("select", given, tuple(candidates), k, progress)
        positions = _numbers(answer)
        if positions is None or not all(type(position) is int for position in positions):
            problem = "must return a list of positions in the candidates"
        elif wrong := [position for position in positions if not 0 <= position < len(candidates)]:
            problem = f"must return positions from 0 to {len(candidates) - 1}, not {wrong[0]}"
        elif len(set(positions)) < len(positions):
            problem = "must return each position once"
        elif len(positions) != k and not self.drops_zero_variance:
            problem = f"must return {k} positions, not {len(positions)}"
        else:
            return positions
        raise SelectorError(f"{self._named}: select {problem}; it returned {excerpt(answer)}, and was given {given}")

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Mean and variance of each candidate's pass rate, as a distribution on [0, 1] can have them."""
        given = f"{len(candidates)} candidates"
        answer = self._call("predict", given, tuple(candidates))
        pairs = _numbers(answer)
        if pairs is None or len(pairs) != len(candidates):
            problem = "must return a list of (mean, variance), one for each candidate"
        elif wrong := [pair for pair in pairs if not _is_prediction(pair)]:
            problem = (
                "must return (mean, variance) with 0 < mean < 1 and 0 <= variance <= mean (1 - mean), not "
                f"{excerpt(wrong[0])}"
            )
        else:
            return [Prediction(*map(float, pair)) for pair in pairs]
        raise SelectorError(f"{self._named}: predict {problem}; it returned {excerpt(answer)}, and was given {given}")

    def observe(self, outcomes: Sequence[PromptOutcome]) -> None:
        """Tells the selector the outcomes of a step."""
        given = f"{len(outcomes)} outcomes" + (f", the first {excerpt(outcomes[0])}" if outcomes else "")
        self._call("observe", given, tuple(outcomes))

    def rollout_batch(self, missing: int, k: int) -> int:
        """How many prompts to have in rollout at once, at least 1."""
        given = f"missing = {missing}, k = {k}"
        answer = self._call("rollout_batch", given, missing, k)
        if type(answer) is not int or answer < 1:
            returned = f"it returned {excerpt(answer)}, and was given {given}"
            raise SelectorError(f"{self._named}: rollout_batch must return an int of 1 or more; {returned}")
        return answer

    def metrics(self) -> dict[str, float]:
        """Finite numbers by their names."""
        answer = self._call("metrics", "nothing")
        if not isinstance(answer, Mapping):
            raise SelectorError(f"{self._named}: metrics must return a dict of numbers, not {excerpt(answer)}")
        numbers = {}
        for name, value in answer.items():
            (number,) = _numbers([value]) or (None,)
            if type(name) is not str or not isinstance(number, int | float) or not math.isfinite(number):
                raise SelectorError(
                    f"{self._named}: metrics must return finite numbers by their names, not "
                    f"{excerpt(name)}: {excerpt(value)}"
                )
            numbers[name] = float(number)
        return numbers

    def state_dict(self) -> dict[str, Any]:
        """The selector's state, which a checkpoint can hold: tried once."""
        state = self._call("state_dict", "nothing")
        if not isinstance(state, dict):
            raise SelectorError(f"{self._named}: state_dict must return a dict, not {excerpt(state)}")
        if not self._state_tried:
            try:
                pickle.dumps(state)
            except RAISED as error:
                raise SelectorError(
                    f"{self._named}: a checkpoint cannot hold its state, {excerpt(state)}: {quoted(error, self._file)}"
                ) from error
            self._state_tried = True
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Gives the selector back what a checkpoint held of it."""
        self._call("load_state_dict", excerpt(state), state)

    def _call(self, name: str, given: str, *arguments: Any) -> Any:
        try:
            with user_code.no_exit():
                return getattr(self._selector, name)(*arguments)
        except RAISED as error:
            raise SelectorError(
                f"{self._named}: {name} raised {quoted(error, self._file)}; it was given {given}"
            ) from error


def _is_prediction(pair: Any) -> bool:
    """Whether it is the mean and the variance of a pass rate of which neither 0 nor 1 is certain."""
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return False
    mean, variance = pair
    if not isinstance(mean, int | float) or not isinstance(variance, int | float):
        return False
    return 0 < mean < 1 and 0 <= variance <= mean * (1 - mean)


def _numbers(answer: Any) -> list[Any] | None:
    """The members of a list, tuple, array or tensor, themselves without array or tensor; None if it is none of them."""
    try:
        members = answer.tolist() if hasattr(answer, "tolist") else answer
        if not isinstance(members, list | tuple):
            return None
        return [member.tolist() if hasattr(member, "tolist") else member for member in members]
    except RAISED:
        return None
