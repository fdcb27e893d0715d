"""OpenRLHF's reward files, as `--reward.remote_url` names them."""

from __future__ import annotations

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from prepo_rlhf.rewards.reward import RewardError, Rollouts, check_reward, make_reward


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


def test_what_the_function_raises_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        ask(write(tmp_path / "r.py", "return 1 / 0"), ["a"])


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


@pytest.mark.parametrize("spec", ["math", "http://127.0.0.1:5000/get_reward", "http://a/1, https://b/2"])
def test_what_may_be_named(spec: str) -> None:
    check_reward(spec)


@pytest.mark.parametrize("spec", ["maths", "agent.txt", "http://a/1,b", "/nowhere/reward.py"])
def test_what_may_not_be_named(spec: str) -> None:
    with pytest.raises(RewardError, match="--reward.remote_url"):
        check_reward(spec)
