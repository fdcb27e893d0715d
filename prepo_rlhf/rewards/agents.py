"""The user's agent, as `--train.agent_func_path` names it: a Python file with OpenRLHF's contract, checked.

Boundary: loads it, asks it for one trajectory, and checks the answer; the engine that its requests go to is given.
"""

from __future__ import annotations

import inspect
import math
from numbers import Real
from operator import index
from typing import Any

from prepo_rlhf import backends
from prepo_rlhf.files import user_code
from prepo_rlhf.files.user_code import RAISED, UserCodeError, check_arguments, excerpt, quoted
from prepo_rlhf.rewards.contract import checked

OPTION, MODULE = "--train.agent_func_path", "prepo_agent"
GIVEN = ("prompt", "label", "sampling_params", "max_length", "hf_tokenizer", "llm_engine", "images")  # to `execute`
NEEDED = ("observation_tokens", "action_ranges", "reward")


class AgentError(UserCodeError):
    """The agent that the user named cannot be used, raised, or answered something else than a trajectory."""


def load_agent_class(path: str) -> type:
    """The class `AgentExecutor` of a Python file; none is made yet, since making one may start things.

    Raises:
        AgentError: no such file, no such class in it, or it cannot be imported or used so.
    """
    backends.activate()  # before the file imports OpenRLHF
    from openrlhf.utils.agent import AgentExecutorBase

    try:
        module = user_code.load(path, MODULE)
    except UserCodeError as error:
        raise AgentError(f"{OPTION}: {error}") from error
    agent_class = getattr(module, "AgentExecutor", None)
    if not isinstance(agent_class, type) or not issubclass(agent_class, AgentExecutorBase):
        raise AgentError(f"{OPTION}: {path} defines no class AgentExecutor derived from openrlhf's AgentExecutorBase")
    if inspect.isabstract(agent_class):
        raise AgentError(f"{OPTION} {path}: AgentExecutor has no `async def execute`")
    execute: Any = agent_class.execute
    if problem := check_arguments(agent_class):
        raise AgentError(f"{OPTION} {path}: AgentExecutor() must need no arguments, but {problem}")
    if inspect.isgeneratorfunction(execute) or inspect.isasyncgenfunction(execute):
        raise AgentError(f"{OPTION} {path}: execute is a generator (it yields), and must return a trajectory")
    if problem := check_arguments(execute, None, **dict.fromkeys(GIVEN)):
        raise AgentError(f"{OPTION} {path}: execute must take {', '.join(GIVEN)} by name, but {problem}")
    return agent_class


class Agent:
    """The agent of one rollout engine."""

    def __init__(self, path: str) -> None:
        self._path = path
        agent_class = load_agent_class(path)
        try:
            with user_code.no_exit():
                self._executor: Any = agent_class()
        except RAISED as error:
            raise AgentError(f"{OPTION} {path}: AgentExecutor() raised {quoted(error, path)}") from error

    async def run(self, vocabulary: int, **given: Any) -> dict[str, Any]:
        """The trajectory that `execute` answers with when it is `given` what OpenRLHF gives it, as OpenRLHF's response.

        Args:
            vocabulary: number of token ids that the model knows.
        Raises:
            AgentError: it raised, or answered something else than a trajectory.
            RewardError: its reward is none.
        """
        source, prompt, label = f"{OPTION} {self._path}", given["prompt"], given["label"]
        where = f"{source}, for the prompt {excerpt(prompt)}"
        try:
            with user_code.no_exit():
                answer = self._executor.execute(**given)
                if inspect.isawaitable(answer):
                    answer = await answer
        except RAISED as error:
            raise AgentError(f"{where}, label {excerpt(label)}: execute raised {quoted(error, self._path)}") from error
        needs_log_probs = given["sampling_params"].logprobs is not None
        trajectory = checked_trajectory(answer, source, prompt, vocabulary, needs_log_probs)
        return {"prompt": prompt, "label": label} | trajectory


def checked_trajectory(answer: Any, source: str, prompt: str, vocabulary: int, log_probs: bool) -> dict[str, Any]:
    """What training needs of an agent's answer, with lists of numbers in it.

    Args:
        answer: {"observation_tokens": ids of all tokens, "action_ranges": [(start, stop)] of those that the model
            wrote, "rollout_log_probs": one for each token, "reward": number, ...}, as OpenRLHF's agents answer.
        source: the agent, for messages.
        prompt: of the trajectory, for messages.
        log_probs: whether training needs those of the rollout.
    Raises:
        AgentError: an entry is missing, or not what it has to be.
        RewardError: its reward is none.
    """
    where = f"{source}, for the prompt {excerpt(prompt)}"
    if not isinstance(answer, dict) or any(answer.get(name) is None for name in NEEDED):
        raise AgentError(f"{where}: execute must return a dict with {', '.join(NEEDED)}, not {excerpt(answer)}")
    tokens = _token_ids(answer["observation_tokens"], where, vocabulary)
    parts: dict[str, Any] = {
        "observation_tokens": tokens,
        "action_ranges": _action_ranges(answer["action_ranges"], where, len(tokens)),
        "rollout_log_probs": answer.get("rollout_log_probs"),
        "truncated": bool(answer.get("truncated", False)),
    }
    if log_probs or parts["rollout_log_probs"] is not None:
        parts["rollout_log_probs"] = _log_probs(parts["rollout_log_probs"], where, len(tokens))
    graded = {"rewards": answer["reward"]} | {name: answer.get(name) for name in ("scores", "extra_logs")}
    return parts | checked(graded, source, prompt)


def _token_ids(given: Any, where: str, vocabulary: int) -> list[int]:
    try:
        tokens = [index(token) for token in _listed(given)]
    except RAISED:
        tokens = []
    wrong = next((token for token in tokens if not 0 <= token < vocabulary), None)
    if wrong is not None:
        raise AgentError(
            f'{where}: "observation_tokens" holds {wrong}, and the tokens of the model are 0 to {vocabulary - 1}'
        )
    if not tokens:
        raise AgentError(f'{where}: "observation_tokens" must be a list of token ids, not {excerpt(given)}')
    return tokens


def _action_ranges(given: Any, where: str, length: int) -> list[tuple[int, int]]:
    try:
        ranges = [(index(start), index(stop)) for start, stop in _listed(given)]
    except RAISED:
        ranges = [(-1, -1)]
    ends = [end for part in ranges for end in part]
    if ends != sorted(ends) or (ends and not 0 <= ends[0] <= ends[-1] <= length):
        raise AgentError(
            f'{where}: "action_ranges" must be (start, stop) in ascending order within the {length} tokens of '
            f'"observation_tokens", not {excerpt(given)}'
        )
    return ranges


def _log_probs(given: Any, where: str, length: int) -> list[float]:
    try:
        values = [float(value) for value in _listed(given) if isinstance(value, Real)]
    except RAISED:
        values = []
    if len(values) != length or not all(map(math.isfinite, values)):
        raise AgentError(
            f'{where}: "rollout_log_probs" must be a finite number for each of the {length} tokens of '
            f'"observation_tokens", not {excerpt(given)}'
        )
    return values


def _listed(given: Any) -> list[Any]:
    """A list, tuple, array or tensor as a list."""
    return list(given.tolist() if hasattr(given, "tolist") else given)
