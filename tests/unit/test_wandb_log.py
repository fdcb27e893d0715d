"""The key of Weights & Biases: missing or wrong, it is refused at once; given, it goes to its server alone."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import ROOT, gpu_config

from prepo_rlhf.config import ConfigError, GivenConfig, from_dict, parse_args

KEY = "0123456789abcdef0123456789abcdef01234567"
SCRIPT = """
import os, sys
from prepo_rlhf.config import ConfigError, Machine, parse_args, resolve
from prepo_rlhf.trainer import wandb_log

config = resolve(parse_args(), Machine("cpu", False, os.getcwd()))
try:
    config = wandb_log.log_in(config)
except ConfigError as error:
    sys.exit(f"REFUSED {error}")
print("STATE", config.logger.wandb.enable, config.logger.wandb.key, os.environ.get("WANDB_API_KEY"), sys.argv[1:])
print("TITLE", open("/proc/self/cmdline").read())
try:
    run = wandb_log.start(config)
except Exception as error:
    print("NO RUN", type(error).__name__)
"""


def log_in(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Log in and start a run in a process that knows nothing of the machine's own W&B account."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    clean |= {"HOME": str(home), "NETRC": str(home / "netrc"), "WANDB_DIR": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=clean | environment, cwd=home)


@contextmanager
def server_that_refuses() -> Iterator[tuple[str, set[str]]]:
    """The address of a stand-in for W&B's server, and the keys that it was shown."""
    keys: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            shown = self.headers.get("Authorization", "")
            if shown.startswith("Basic "):
                keys.add(base64.b64decode(shown.removeprefix("Basic ")).decode())
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", keys
    finally:
        server.shutdown()


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_the_key_reaches_the_server_and_nothing_else(how: str, tmp_path: Path) -> None:
    with server_that_refuses() as (address, keys):
        if how == "flag":
            done = log_in(tmp_path, "--logger.wandb.key", KEY, WANDB_BASE_URL=address)
        else:
            done = log_in(tmp_path, "--logger.wandb.enable", WANDB_BASE_URL=address, WANDB_API_KEY=KEY)
    assert done.returncode == 0, done.stderr
    assert keys == {f"api:{KEY}"}
    assert f"STATE True None {KEY if how == 'environment' else None} [" in done.stdout
    told = done.stderr + done.stdout.replace(f"STATE True None {KEY}", "")
    assert KEY not in told and ("'***'" in told) == ("set WANDB_API_KEY" in told) == (how == "flag")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not [path for path in files if KEY.encode() in path.read_bytes()]


def test_no_key_is_refused(tmp_path: Path) -> None:
    done = log_in(tmp_path, "--logger.wandb.enable")
    assert done.returncode == 1 and "REFUSED --logger.wandb.enable: no key of Weights & Biases is known" in done.stderr


def test_a_key_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    done = log_in(tmp_path, "--logger.wandb.key", "True")
    assert done.returncode == 1 and "REFUSED --logger.wandb.enable: the key of Weights & Biases" in done.stderr


def test_nobody_asked_for_it(tmp_path: Path) -> None:
    done = log_in(tmp_path, WANDB_API_KEY=KEY)
    assert done.returncode == 0 and "STATE False None" in done.stdout and "wandb:" not in done.stderr


def test_the_options_show_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"logger: {{wandb: {{key: {KEY}}}}}\n")
    config = gpu_config(parse_args(["--config", str(file)]))
    assert config.logger.wandb.key == KEY and config.logger.wandb.enable
    assert KEY not in repr(config) and not GivenConfig().logger.wandb.enable
    for wrong in (["--help"], ["--no_such_option"], ["--train.seed", "x"], ["--print_config"]):
        with pytest.raises((SystemExit, ConfigError)) as ended:
            parse_args(["--config", str(file), *wrong])
        shown = "".join(capsys.readouterr()) + str(ended.value)
        assert shown and KEY not in shown
    with pytest.raises(ConfigError) as refusal:
        from_dict({"logger": {"wandb": {"key": [KEY]}}})
    assert "--logger.wandb.key" in str(refusal.value) and KEY not in str(refusal.value)
