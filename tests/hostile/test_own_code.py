"""Code of the user's own, in files that nobody here wrote: rewards, agents, selectors, before the start and at work."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attempts import attempt
from tiny_candidates import make_prompt

from prepo_rlhf.config import ConfigError
from prepo_rlhf.config.training import PrepoOptions
from prepo_rlhf.files.user_code import UserCodeError
from prepo_rlhf.rewards.agents import Agent, AgentError, load_agent_class
from prepo_rlhf.rewards.contract import RewardError, Rollouts
from prepo_rlhf.rewards.sources import check_reward, make_reward
from prepo_rlhf.selection import PromptOutcome, PromptStream, make_selector
from prepo_rlhf.selection.checked import SelectorError

DOORS = {"reward.remote_url": check_reward, "train.agent_func_path": load_agent_class}
DEFINES = "def reward_func(queries, prompts, labels):\n    "
DATACLASS = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class A:
    value: float
"""
AT_IMPORT = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero (line 1, `1 / 0`)"),
    "sys.exit": ("import sys\nsys.exit()", "SystemExit: (line 2, `sys.exit()`)"),
    "exit with 0": ("exit(0)", "SystemExit: 0 (line 1, `exit(0)`)"),
    "os._exit": ("import os\nos._exit(0)", "SystemExit: 0 (line 2, `os._exit(0)`)"),
    "os._exit by name": ("from os import _exit\n_exit(0)", "SystemExit: 0 (line 2, `_exit(0)`)"),
    "a syntax error": ("def reward_func(queries:", "SyntaxError: '(' was never closed"),
    "tabs and spaces": ("if True:\n        x = 1\n\ty = 2", "TabError: "),
    "not utf-8": (b"x = '\xff'", "SyntaxError: (unicode error)"),
    "null bytes": (b"x = 1\x00", "source code string cannot contain null bytes"),
    "a missing module": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module' (line 1"),
    "a relative import": ("from . import other", "ImportError: attempted relative import with no known parent"),
    "endless recursion": (
        "def f():\n    f()\nf()",
        "RecursionError: maximum recursion depth exceeded (line 3, `f()`; ",
    ),
    "an assertion": ("assert False, 'set MY_TOKEN'", "AssertionError: set MY_TOKEN"),
    "a group of errors": ("raise ExceptionGroup('two', [OSError(), ValueError()])", "ExceptionGroup: two (2 sub-ex"),
    "an error without text": (
        "class E(Exception):\n    def __str__(self): return 1 / 0\nraise E",
        "E: (its text cannot",
    ),
    "an error of 10,000 lines": ("raise ValueError('no\\n' * 10_000)", "ValueError: no no no"),
}
AS_REWARD = {
    "empty": ("", "defines no function reward_func(queries, prompts, labels)"),
    "no function": ("reward_func = 3", "defines no function reward_func"),
    "another name": ("def reward(queries, prompts, labels): return 1", "defines no function reward_func"),
    "two arguments": ("def reward_func(queries, prompts): return 1", "takes (queries, prompts): too many positional"),
    "four arguments": ("def reward_func(a, b, c, d): return 1", "takes (a, b, c, d): missing a required argument: 'd'"),
    "by name only": ("def reward_func(*, queries, prompts, labels): return 1", "takes (*, queries, prompts, labels): "),
    "async": (f"async {DEFINES}return {{'rewards': 1.0}}", "is async, and must be a plain function"),
    "a generator": (f"{DEFINES}yield 1.0", "is a generator (it yields), and must return its result"),
    "an async object": (
        "class R:\n    async def __call__(self, queries, prompts, labels): ...\nreward_func = R()",
        "is async, and must be a plain function",
    ),
}
GOOD_REWARDS = {
    "future annotations and a dataclass": (f"{DATACLASS}{DEFINES}return {{'rewards': A(0.5).value}}"),
    "a callable object": (
        "class R:\n    def __call__(self, queries, prompts, labels): return {'rewards': 0.5}\nreward_func = R()"
    ),
    "a lambda": "reward_func = lambda *given: {'rewards': [0.5]}",
    "a decorator that changes the arguments": (
        "import functools\ndef each(f):\n    @functools.wraps(f)\n    def g(queries, prompts, labels):\n"
        "        return {'rewards': f(queries[0])}\n    return g\n@each\ndef reward_func(query):\n    return 0.5"
    ),
    "prints a lot": f"{DEFINES}print('x' * 100_000)\n    return {{'rewards': 0.5}}",
    "slow to import": f"import time\ntime.sleep(0.2)\n{DEFINES}return {{'rewards': 0.5}}",
    "changes what it is given": (
        f"{DEFINES}labels[0]['seen'] = labels[0].get('seen', 0) + 1\n    queries.clear(); prompts.clear()\n"
        "    return {'rewards': 0.5 if labels[0]['seen'] == 1 else 0.0}"
    ),
    "forks a process that ends": (
        f"import os\n{DEFINES}child = os.fork()\n    if child == 0:\n        os._exit(0)\n    os.waitpid(child, 0)\n"
        "    return {'rewards': 0.5}"
    ),
}
REWARD_AT_WORK = {
    "raises": ("return 1 / 0", "raised ZeroDivisionError: division by zero (line 2, `return 1 / 0`)"),
    "sys.exit": ("import sys; sys.exit(0)", "raised SystemExit: 0 (line 2"),
    "os._exit": ("import os; os._exit(0)", "raised SystemExit: 0 (line 2"),
    "StopIteration": ("return next(iter(()))", "raised StopIteration: (line 2"),
    "endless recursion": ("return reward_func(queries, prompts, labels)", "raised RecursionError: "),
    "an attribute of None": ("return labels[0].missing", "raised AttributeError: "),
    "nothing": ("pass", 'must be a dict with the key "rewards", not None'),
    "a coroutine": ("async def f(): ...\n    c = f(); c.close()\n    return c", "must be a dict with the key"),
    "a number of digits": ("return {'rewards': 10**400}", '"rewards" must be one number'),
    "a list in itself": ("x = []; x.append(x)\n    return {'rewards': x}", '"rewards" must be one number'),
    "an object that cannot be shown": (
        "class R:\n        def __repr__(self): return 1 / 0\n    return {'rewards': R()}",
        '"rewards" must be one number, not a R that cannot be shown',
    ),
}


def write(path: Path, code: str | bytes) -> str:
    path.write_bytes(code if isinstance(code, bytes) else code.encode())
    return str(path)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", AT_IMPORT)
def test_a_file_that_cannot_be_imported(case: str, door: str, tmp_path: Path) -> None:
    code, told = AT_IMPORT[case]
    path = write(tmp_path / "own.py", code)
    with pytest.raises(UserCodeError) as error:
        DOORS[door](path)
    message = str(error.value)
    assert message.startswith(f"--{door}: {path} cannot be imported: ")
    assert told in message and "\n" not in message and len(message) < 800


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", ["exit with 0", "os._exit", "a syntax error", "null bytes"])
def test_the_command_refuses_it_before_ray(case: str, door: str, good_job: Any, tmp_path: Path) -> None:
    code, told = AT_IMPORT[case]
    done = attempt(good_job(**{door.replace(".", "__"): write(tmp_path / "own.py", code)}))
    assert done.refused and done.message.startswith(f"--{door}: ") and told in done.message


@pytest.mark.parametrize("case", AS_REWARD)
def test_a_file_without_such_a_function(case: str, tmp_path: Path) -> None:
    code, told = AS_REWARD[case]
    with pytest.raises(RewardError, match="^--reward.remote_url") as error:
        check_reward(write(tmp_path / "own.py", code))
    assert told in str(error.value)


def rewarded(path: str, label: Any = "label") -> list[dict[str, Any]]:
    rollouts = Rollouts("prompt", label, responses=["a", "b"], queries=["prompt a", "prompt b"])
    return asyncio.run(make_reward(path)(rollouts))


@pytest.mark.parametrize("case", GOOD_REWARDS)
def test_an_unusual_reward_is_taken(case: str, tmp_path: Path) -> None:
    path = write(tmp_path / "own.py", GOOD_REWARDS[case])
    assert [grade["reward"] for grade in rewarded(path, {"answer": 3})] == [0.5, 0.5]


@pytest.mark.parametrize("case", REWARD_AT_WORK)
def test_a_reward_that_breaks_at_work(case: str, tmp_path: Path) -> None:
    body, told = REWARD_AT_WORK[case]
    path = write(tmp_path / "own.py", DEFINES + body)
    with pytest.raises(RewardError) as error:
        rewarded(path)
    assert str(error.value).startswith(f"--reward.remote_url {path}") and told in str(error.value)
    assert "'prompt'" in str(error.value) and "\n" not in str(error.value)


AGENT = """
from openrlhf.utils.agent import AgentExecutorBase

class AgentExecutor(AgentExecutorBase):
    async def execute(self, prompt, label, sampling_params, max_length, hf_tokenizer, llm_engine, images=None):
        good = {"observation_tokens": [1, 2, 3], "action_ranges": [(1, 3)], "reward": 0.5, "rollout_log_probs": None}
        """
AS_AGENT = {
    "empty": ("", "defines no class AgentExecutor derived from openrlhf's AgentExecutorBase"),
    "no base class": ("class AgentExecutor: ...", "defines no class AgentExecutor derived from"),
    "an instance": (AGENT + "return good\nAgentExecutor = AgentExecutor()", "defines no class AgentExecutor"),
    "no execute": (AGENT.split("    async")[0] + "    pass", "AgentExecutor has no `async def execute`"),
    "a constructor with arguments": (
        AGENT + "return good\n    def __init__(self, port): ...",
        "AgentExecutor() must need no arguments, but takes (port): missing a required argument: 'port'",
    ),
    "too few arguments": (AGENT.replace(", images=None", "") + "return good", "execute must take prompt, label, "),
    "a generator": (AGENT + "yield good", "execute is a generator (it yields)"),
}
AGENT_AT_WORK = {
    "raises": ("return 1 / 0", "execute raised ZeroDivisionError: division by zero (line 7, `return 1 / 0`)"),
    "sys.exit": ("exit(0)", "execute raised SystemExit: 0 (line 7"),
    "os._exit": ("import os; os._exit(0)", "execute raised SystemExit: 0 (line 7"),
    "StopIteration": ("next(iter(()))", "execute raised RuntimeError: coroutine raised StopIteration"),
    "nothing": ("pass", "execute must return a dict with observation_tokens, action_ranges, reward, not None"),
    "no reward": ("return good | {'reward': None}", "execute must return a dict with observation_tokens"),
    "a text as reward": ("return good | {'reward': 'high'}", "\"rewards\" must be one number, not 'high'"),
    "a reward of nan": ("return good | {'reward': float('nan')}", '"rewards" is nan'),
    "text as tokens": (
        "return good | {'observation_tokens': 'abc'}",
        '"observation_tokens" must be a list of token ids',
    ),
    "no tokens": ("return good | {'observation_tokens': []}", '"observation_tokens" must be a list of token ids'),
    "nested tokens": ("return good | {'observation_tokens': [[1, 2, 3]]}", '"observation_tokens" must be a list'),
    "an unknown token": ("return good | {'observation_tokens': [1, 512, 3]}", '"observation_tokens" holds 512'),
    "a negative token": ("return good | {'observation_tokens': [1, -1, 3]}", '"observation_tokens" holds -1'),
    "ranges beyond": ("return good | {'action_ranges': [(1, 4)]}", '"action_ranges" must be (start, stop)'),
    "ranges that overlap": ("return good | {'action_ranges': [(0, 2), (1, 3)]}", "in ascending order"),
    "a flat range": ("return good | {'action_ranges': [1, 3]}", "within the 3 tokens"),
    "too few log-probs": ("return good | {'rollout_log_probs': [0.0]}", "a finite number for each of the 3 tokens"),
    "log-probs of nan": ("return good | {'rollout_log_probs': [0.0, float('nan'), 0.0]}", '"rollout_log_probs" must'),
}


@pytest.mark.parametrize("case", AS_AGENT)
def test_a_file_without_such_an_agent(case: str, tmp_path: Path) -> None:
    code, told = AS_AGENT[case]
    with pytest.raises(AgentError, match="^--train.agent_func_path") as error:
        load_agent_class(write(tmp_path / "own.py", code))
    assert told in str(error.value)


def trajectory(path: str) -> dict[str, Any]:
    given = {"prompt": "a prompt", "label": "a label", "sampling_params": SimpleNamespace(logprobs=None)}
    others = dict.fromkeys(("max_length", "hf_tokenizer", "llm_engine", "images"))
    return asyncio.run(Agent(path).run(512, **given, **others))


@pytest.mark.parametrize("case", AGENT_AT_WORK)
def test_an_agent_that_breaks_at_work(case: str, tmp_path: Path) -> None:
    body, told = AGENT_AT_WORK[case]
    path = write(tmp_path / "own.py", AGENT + body)
    with pytest.raises((AgentError, RewardError)) as error:
        trajectory(path)
    assert str(error.value).startswith(f"--train.agent_func_path {path}, for the prompt 'a prompt'")
    assert told in str(error.value) and "\n" not in str(error.value)


def test_an_agent_that_cannot_be_made(tmp_path: Path) -> None:
    constructor = "return good\n    def __init__(self):\n        raise OSError('no display')"
    with pytest.raises(AgentError, match=r"AgentExecutor\(\) raised OSError: no display \(line 9"):
        trajectory(write(tmp_path / "own.py", AGENT + constructor))


def test_an_agent_is_a_module_like_any_other(tmp_path: Path) -> None:
    answer = "{'observation_tokens': torch.tensor([1, 2, 3]), 'reward': torch.tensor([A(0.5).value])}"
    made = trajectory(write(tmp_path / "own.py", f"{DATACLASS}import torch{AGENT}return good | {answer}"))
    assert made["observation_tokens"] == [1, 2, 3] and made["reward"] == made["scores"] == 0.5
    assert (made["prompt"], made["label"], made["truncated"]) == ("a prompt", "a label", False)


SELECTOR = """
from prepo_rlhf.selection import PromptSelector

class Own(PromptSelector):
    def select(self, candidates, k, progress):
        return list(range(k))
"""
AS_SELECTOR = {
    "raises": ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero (line 1, `1 / 0`)"),
    "a syntax error": ("class Own(", "cannot be imported: SyntaxError: "),
    "os._exit": ("import os; os._exit(0)", "cannot be imported: SystemExit: 0 (line 1"),
    "no class": ("", "defines no class Own derived from PromptSelector"),
    "another base": ("class Own: ...", "defines no class Own derived from PromptSelector"),
    "no select": (SELECTOR.replace("def select", "def choose"), "cannot be made: TypeError: Can't instantiate"),
    "a constructor with arguments": (SELECTOR + "    def __init__(self, size): ...", "cannot be made: TypeError: "),
    "from_options gives a class": (
        SELECTOR + "    @classmethod\n    def from_options(cls, options, seed): return cls", "returned no selector"
    ),
    "two arguments": (SELECTOR.replace(", progress", ""), "select takes (candidates, k): too many positional"),
    "async": (SELECTOR.replace("def select", "async def select"), "select is async, and must be a plain function"),
    "a generator": (SELECTOR.replace("return list(", "yield from ("), "select is a generator (it yields)"),
    "observe without outcomes": (SELECTOR + "    def observe(self): ...", "observe takes (): too many positional"),
}  # fmt: skip
SELECTIONS = {
    "raises": ("1 / 0", "select raised ZeroDivisionError: division by zero (line 7, "),
    "sys.exit": ("exit(0)", "select raised SystemExit: 0 (line 7"),
    "os._exit": ("__import__('os')._exit(0)", "select raised SystemExit: 0 (line 7"),
    "nothing": ("None", "must return a list of positions in the candidates; it returned None, and was given 6 candida"),
    "candidates": ("candidates[:k]", "must return a list of positions"),
    "floats": ("[0.0] * k", "must return a list of positions"),
    "texts": ("['0'] * k", "must return a list of positions"),
    "a mask": ("[True] * len(candidates)", "must return a list of positions"),
    "a set": ("set(range(k))", "must return a list of positions"),
    "a number": ("k", "must return a list of positions"),
    "nested": ("[[0, 1, 2]]", "must return a list of positions"),
    "too few": ("[0]", "must return 3 positions, not 1"),
    "too many": ("[0, 1, 2, 3]", "must return 3 positions, not 4"),
    "none": ("[]", "must return 3 positions, not 0"),
    "duplicates": ("[1, 2, 1]", "must return each position once"),
    "rows": ("[c.row + 9 for c in candidates][:k]", "must return positions from 0 to 5, not "),
    "negative": ("[0, 1, -1]", "must return positions from 0 to 5, not -1"),
    "sorts its candidates": (
        "candidates.sort()",
        "select raised AttributeError: 'tuple' object has no attribute 'sort'",
    ),
    "no perplexities": ("min(c.perplexity for c in candidates)", "select raised TypeError: '<' not supported between"),
}
SELECTOR_AT_WORK = {
    "observe raises": ("def observe(self, outcomes): outcomes[0].missing", "observe raised AttributeError: "),
    "metrics are none": ("def metrics(self): pass", "metrics must return a dict of numbers, not None"),
    "a metric is nan": ("def metrics(self): return {'a': float('nan')}", "finite numbers by their names, not 'a': nan"),
    "a metric is text": ("def metrics(self): return {'a': '1.0'}", "finite numbers by their names, not 'a': '1.0'"),
    "state without attribute": ("state = ('lost',)", "state_dict raised AttributeError: 'Own' object has no attribute"),
    "state that cannot be saved": (
        "state = ('rank',)\n    rank = staticmethod(lambda: 0)",
        "a checkpoint cannot hold its state, {'rank': <function",
    ),
    "state is no dict": ("def state_dict(self): return [1]", "state_dict must return a dict, not [1]"),
    "load_state_dict raises": ("def load_state_dict(self, state): state['lost']", "load_state_dict raised KeyError"),
    "predicts and has no predict": ("predicts = True", "predict raised NotImplementedError: the class says that it"),
    "predicts too few": (
        "predicts = True\n    def predict(self, candidates): return [(0.5, 0.1)]",
        "predict must return a list of (mean, variance), one for each candidate; it returned [(0.5, 0.1)], and was",
    ),
    "predicts means alone": (
        "predicts = True\n    def predict(self, candidates): return [0.5] * len(candidates)",
        "predict must return (mean, variance) with 0 < mean < 1 and 0 <= variance <= mean (1 - mean), not 0.5; it ret",
    ),
    "predicts certainty": (
        "predicts = True\n    def predict(self, candidates): return [(1.0, 0.0)] * len(candidates)", "not (1.0, 0.0)"
    ),
    "predicts more spread than there is": (
        "predicts = True\n    def predict(self, candidates): return [(0.5, 0.3)] * len(candidates)", "not (0.5, 0.3)"
    ),
    "predicts nan": (
        "predicts = True\n    def predict(self, candidates): return [(float('nan'), 0.1)] * len(candidates)",
        "not (nan, 0.1)",
    ),
    "no rollouts at once": (
        "drops_zero_variance = True\n    def rollout_batch(self, missing, k): return 0",
        "rollout_batch must return an int of 1 or more; it returned 0, and was given missing = 3, k = 3",
    ),
} | SELECTIONS  # fmt: skip


@pytest.fixture
def own_selector(tmp_path: Path) -> Any:
    """Makes the selector of a file, whose line 7 is the first of its `extra` line."""

    def make(code: str) -> PromptStream:
        path = write(tmp_path / "own.py", code)
        selector = make_selector(PrepoOptions(selector=f"{path}:Own"), seed=0)
        return PromptStream([make_prompt(row) for row in range(12)], selector, 6, 3, 2, seed=0)

    return make


@pytest.mark.parametrize("case", AS_SELECTOR)
def test_a_selector_that_cannot_be_made(case: str, own_selector: Any) -> None:
    code, told = AS_SELECTOR[case]
    with pytest.raises(ConfigError) as error:
        own_selector(code)
    assert str(error.value).startswith("--prepo.selector") and told in str(error.value)


@pytest.mark.parametrize("case", SELECTOR_AT_WORK)
def test_a_selector_that_breaks_at_work(case: str, own_selector: Any) -> None:
    extra, told = SELECTOR_AT_WORK[case]
    if case in SELECTIONS:
        extra = f"def select(self, candidates, k, progress): return {extra}"
    stream = own_selector(f"{SELECTOR}    {extra}\n")
    with pytest.raises(SelectorError) as error:
        stream.selector.rollout_batch(3, 3)
        stream.draw()
        stream.observe([PromptOutcome(0, (1.0, 0.0))])
        stream.load_state_dict(stream.state_dict())
    message = str(error.value)
    assert message.startswith("--prepo.selector: Own in ") and told in message and "\n" not in message
    assert "given" in message or "must return" in message or "cannot hold" in message


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"--prepo.selector {tmp_path}/no.py:Own: there is no file {tmp_path}/no.py"):
        make_selector(PrepoOptions(selector=f"{tmp_path}/no.py:Own"), seed=0)


def test_a_selector_that_drops_groups_may_return_any_number(own_selector: Any) -> None:
    stream = own_selector(SELECTOR + "    drops_zero_variance = True\n    def select(self, *given): return [5]\n")
    assert len(stream.draw().selected) == 1
