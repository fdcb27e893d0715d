"""OpenRLHF's reward files, as `--reward.remote_url` names them."""

from __future__ import annotations

import asyncio
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from prepo_rlhf.rewards import sources
from prepo_rlhf.rewards.contract import RewardError, Rollouts
from prepo_rlhf.rewards.sources import check_reward, make_reward


def ask(spec: str, queries: list[str]) -> list[dict[str, object]]:
    return asyncio.run(make_reward(spec)(Rollouts("prompt", "label", responses=["-"] * len(queries), queries=queries)))


def write(path: Path, body: str) -> str:
    path.write_text(f"import torch\ndef reward_func(queries, prompts, labels):\n    {body}\n")
    return str(path)


def test_each_query_gets_its_reward(tmp_path: Path) -> None:
    logs = "{'label': torch.tensor([len(labels[0])])}"
    body = f"return {{'rewards': torch.tensor([len(queries[0])]), 'extra_logs': {logs}}}"
    answers = ask(write(tmp_path / "r.py", body), ["a", "bb"])
    assert answers == [{"reward": size, "scores": size, "extra_logs": {"label": 5}} for size in (1, 2)]


def test_scores_may_differ_from_rewards(tmp_path: Path) -> None:
    answers = ask(write(tmp_path / "r.py", "return {'rewards': -0.5, 'scores': 1}"), ["a"])
    assert answers == [{"reward": -0.5, "scores": 1, "extra_logs": {}}]


@pytest.mark.parametrize("body", ["return None", "return {'scores': 1}", "return [1.0]"])
def test_an_answer_without_rewards_is_an_error(body: str, tmp_path: Path) -> None:
    with pytest.raises(RewardError, match="rewards"):
        ask(write(tmp_path / "r.py", body), ["a"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return 1 / 0", "ZeroDivisionError: division by zero (line 3, `return 1 / 0`)"),
        ("exit()", "SystemExit"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("return {'rewards': labels[3]}", "IndexError: list index out of range"),
        ("return {'rewards': float(labels[0])}", "ValueError: could not convert string to float: 'label'"),
        ("raise RuntimeError('several\\nlines')", "RuntimeError: several lines"),
    ],
)
def test_what_the_function_raises_is_told_with_its_line_and_what_it_was_given(
    body: str, told: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "r.py", body)
    with pytest.raises(RewardError) as error:
        ask(path, ["a query"])
    message = str(error.value)
    assert message.startswith(f"--reward.remote_url {path}: reward_func raised {told.split(' (')[0]}")
    assert "line 3" in message and "it was given query 'a query', prompt 'prompt', label 'label'" in message


def test_a_module_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "r.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Answer:\n"
        "    value: float\ndef reward_func(queries, prompts, labels):\n    return {'rewards': Answer(0.5).value}\n"
    )
    assert ask(str(path), ["a"]) == [{"reward": 0.5, "scores": 0.5, "extra_logs": {}}]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module' (line 1"),
        ("def reward_func(:", "SyntaxError: "),
        ("import sys\nsys.exit(0)", "SystemExit: 0 (line 2"),
        ("1 / 0", "ZeroDivisionError: "),
        ("x = 1", "defines no function reward_func"),
        ("reward_func = 3", "defines no function reward_func"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told(content: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "r.py"
    path.write_text(content)
    with pytest.raises(RewardError) as error:
        check_reward(str(path))
    assert str(error.value).startswith("--reward.remote_url") and str(path) in str(error.value)
    assert told in str(error.value)


def test_a_server_answers_like_a_file() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"rewards": [0.25], "scores": [1.0]}')

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    from prepo_rlhf import backends

    backends.activate()
    try:
        answers = ask(f"http://127.0.0.1:{server.server_port}/reward", ["a", "b"])
    finally:
        server.shutdown()
    assert answers == [{"reward": 0.25, "scores": 1.0, "extra_logs": {}}] * 2


@pytest.mark.parametrize(
    ("refusals", "patience", "answered"), [(0, 0, True), (3, 10, True), (1, 0, False), (99, 0.2, False)]
)
def test_a_server_is_asked_again_as_long_as_patience_lasts(
    refusals: int, patience: float, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    async def ask() -> str:
        asked.append(time.monotonic())
        if len(asked) <= refusals:
            raise RuntimeError("Request error")
        return "answer"

    monkeypatch.setattr(sources, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(sources, "LONGEST_PAUSE", 0.05)
    if not answered:
        with pytest.raises(RuntimeError, match="Request error"):
            asyncio.run(sources._answered(ask, patience))
        assert asked[-1] - asked[0] <= patience + 0.05
        return
    assert asyncio.run(sources._answered(ask, patience)) == "answer"
    waited = [after - before for before, after in zip(asked, asked[1:], strict=False)]
    assert len(asked) == refusals + 1 and all(
        pause >= least for pause, least in zip(waited, (0.02, 0.04, 0.05), strict=False)
    )


@pytest.mark.parametrize("spec", ["math", "http://127.0.0.1:5000/get_reward", "http://a/1, https://b/2"])
def test_what_may_be_named(spec: str) -> None:
    check_reward(spec)


@pytest.mark.parametrize("spec", ["maths", "agent.txt", "http://a/1,b", "/nowhere/reward.py"])
def test_what_may_not_be_named(spec: str) -> None:
    with pytest.raises(RewardError, match="--reward.remote_url"):
        check_reward(spec)
