"""What a job is started in: addresses of Ray, other Rays on the machine, environment variables, temporary folders."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import grpc
import pytest
from ray.core.generated import gcs_pb2, gcs_service_pb2, gcs_service_pb2_grpc
from tiny_tasks import job_options

from prepo_rlhf.backends import ray_address
from prepo_rlhf.backends.announce import announced
from prepo_rlhf.backends.environment import LONGEST_TEMP_FOLDER, check_environment, use_short_temp_folders
from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.config import ConfigError
from prepo_rlhf.trainer import job
from prepo_rlhf.trainer.metrics_log import MetricsLog

SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"

# RAY_ADDRESS, and what it names.
NAMED = {
    None: None, "": None, "  ": None, "local": "local", " local\n": "local", "auto": "auto",
    "10.0.0.1:6379": "10.0.0.1:6379", " 10.0.0.1:6379 ": "10.0.0.1:6379", "[::1]:6379": "[::1]:6379",
    "head-0.cluster_a:6379": "head-0.cluster_a:6379",
}  # fmt: skip

# RAY_ADDRESS, and the sentences that answer it.
ANSWERED = {
    "http://127.0.0.1:8265": ["`ray job submit --address=http://127.0.0.1:8265 -- ", "RAY_ADDRESS=127.0.0.1:6379"],
    "https://head:8265/": ["`ray job submit --address=https://head:8265/ -- python3", "RAY_ADDRESS=head:6379"],
    "HTTP://head": ["`ray job submit", "HOST:6379"],
    "http://": ["`ray job submit"],
    "ray://head:10001": ["Ray Client", "`ray job submit", "HOST:PORT"],
    "redis://head:6379": ["not an address", "HOST:PORT"],
    "tcp://head:6379": ["not an address"],
    "head": ["not an address", "HOST:PORT"],
    "127.0.0.1": ["not an address"],
    "Auto": ["not an address", "auto for the Ray of this machine"],
    "LOCAL": ["not an address", "local for one of the job's own"],
    "true": ["not an address"],
    "head:": ["nothing is not a port"],
    "head:ray": ["ray is not a port"],
    "head:0": ["0 is not a port"],
    "head:99999": ["99999 is not a port"],
    "head:-1": ["-1 is not a port"],
    "head:6379/": ["6379/ is not a port"],
    "head:６３７９": ["is not a port"],
    ":6379": ["not an address"],
    "he ad:6379": ["not an address"],
    "a:6379,b:6379": ["not an address"],
    "::1:6379": ["not an address"],
    "$HEAD:6379": ["not an address"],
}

# Environment variables, and the sentence that answers them; None where they can be worked with.
VARIABLES = {
    "OMP_NUM_THREADS=four": "OMP_NUM_THREADS four: give a number of threads",
    "OMP_NUM_THREADS=0": "OMP_NUM_THREADS 0",
    "OMP_NUM_THREADS=-1": "OMP_NUM_THREADS -1",
    "OMP_NUM_THREADS=2.5": "OMP_NUM_THREADS 2.5",
    "OMP_NUM_THREADS=4": None,
    "OMP_NUM_THREADS=4,2": None,
    "OMP_NUM_THREADS=": None,
    "VLLM_CPU_KVCACHE_SPACE=1GB": "VLLM_CPU_KVCACHE_SPACE 1GB: give a whole number of GiB",
    "VLLM_CPU_KVCACHE_SPACE=0.5": "VLLM_CPU_KVCACHE_SPACE 0.5",
    "VLLM_CPU_KVCACHE_SPACE=": "VLLM_CPU_KVCACHE_SPACE",
    "VLLM_CPU_KVCACHE_SPACE=2": None,
    "CUDA_VISIBLE_DEVICES=cuda:0": "CUDA_VISIBLE_DEVICES cuda:0: give the numbers of GPUs",
    "CUDA_VISIBLE_DEVICES=0;1": "CUDA_VISIBLE_DEVICES 0;1",
    "CUDA_VISIBLE_DEVICES=0 1": "CUDA_VISIBLE_DEVICES 0 1",
    "CUDA_VISIBLE_DEVICES=0-3": "CUDA_VISIBLE_DEVICES 0-3",
    "CUDA_VISIBLE_DEVICES=all": "CUDA_VISIBLE_DEVICES all",
    "CUDA_VISIBLE_DEVICES=0,0": "names a GPU twice",
    "CUDA_VISIBLE_DEVICES=0,": "CUDA_VISIBLE_DEVICES 0,",
    "CUDA_VISIBLE_DEVICES=": None,
    "CUDA_VISIBLE_DEVICES=-1": None,
    "CUDA_VISIBLE_DEVICES=0, 1": None,
    "CUDA_VISIBLE_DEVICES=GPU-0a1b2c3d,MIG-GPU-1/2/0": None,
}

ON_A_CPU, ON_GPUS = {"CPU": 8.0, "GPU": 8.0}, {"CPU": 8.0, "GPU": 8.0, "accelerator_type:H100": 1.0}


@pytest.mark.parametrize("address", NAMED, ids=repr)
def test_what_is_named(address: str | None) -> None:
    environment = {} if address is None else {"RAY_ADDRESS": address}
    assert ray_address.named_ray(environment) == NAMED[address]


def test_a_submitted_job_has_a_ray() -> None:
    assert ray_address.named_ray({SUBMITTED: "{}"}) == "auto"
    assert ray_address.named_ray({SUBMITTED: "{}", "RAY_ADDRESS": "10.0.0.1:6379"}) == "10.0.0.1:6379"


@pytest.mark.parametrize("address", ANSWERED)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ray_address.to_join("cpu", {"RAY_ADDRESS": address})
    told = str(refused.value)
    assert told.startswith(f"RAY_ADDRESS {address}: ") and all(sentence in told for sentence in ANSWERED[address]), told


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "the connection is refused"),
        ("[::1]:1", "the connection is refused"),
        ("no.such.host.invalid:6379", "the host's name is unknown"),
        ("256.1.1.1:6379", "the host's name is unknown"),
    ],
)
def test_nobody_answers(address: str, reason: str) -> None:
    with pytest.raises(ConfigError, match="no Ray answers there") as refused:
        ray_address.to_join("cpu", {"RAY_ADDRESS": address})
    assert reason in str(refused.value)


def test_a_port_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        start = time.monotonic()
        assert ray_address.head_problem(f"127.0.0.1:{mute.getsockname()[1]}", 0.3) == "no answer in 0.3 s"
        assert time.monotonic() - start < 5 and ray_address.PATIENCE == 10


def test_something_else_answers() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as dashboard:
        threading.Thread(target=dashboard.serve_forever, daemon=True).start()
        told = ray_address.head_problem(f"127.0.0.1:{dashboard.server_port}")
        dashboard.shutdown()
    assert told is not None and told.startswith("something else does") and "ray job submit" in told


class Head(gcs_service_pb2_grpc.NodeInfoGcsServiceServicer):
    """Answers as a Ray head does whose one living node has these resources."""

    def __init__(self, resources: dict[str, float]) -> None:
        self._resources = resources

    def GetAllNodeInfo(self, request: Any, context: Any) -> Any:
        info, reply = gcs_pb2.GcsNodeInfo, gcs_service_pb2.GetAllNodeInfoReply()
        reply.node_info_list.append(info(state=info.ALIVE, resources_total=self._resources))
        reply.node_info_list.append(info(state=info.DEAD, resources_total=ON_GPUS))
        return reply


@pytest.fixture
def head(request: pytest.FixtureRequest) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    gcs_service_pb2_grpc.add_NodeInfoGcsServiceServicer_to_server(Head(request.param), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.mark.parametrize("head", [ON_GPUS], indirect=True, ids=["GPUs"])
def test_a_named_head_is_joined(head: str) -> None:
    assert ray_address.to_join("cuda", {"RAY_ADDRESS": f" {head} "}) == head


@pytest.mark.parametrize(
    ("head", "backend", "refused"),
    [
        (ON_GPUS, "cuda", True),
        (ON_GPUS, "cpu", True),
        (ON_A_CPU, "cuda", True),
        (ON_A_CPU, "cpu", False),
        ({"CPU": 8.0}, "cuda", False),
    ],
    indirect=["head"],
    ids=["GPUs", "GPUs elsewhere", "GPUs of no known kind", "logical GPUs", "no GPUs"],
)
def test_a_ray_that_nobody_has_named(head: str, backend: str, refused: bool) -> None:
    if not refused:
        ray_address.refuse_beside([head], backend)
        return
    with pytest.raises(ConfigError, match="RAY_ADDRESS=auto.*RAY_ADDRESS=local"):
        ray_address.refuse_beside([head], backend)


def test_a_ray_that_is_gone_is_in_nobodys_way() -> None:
    ray_address.refuse_beside(["127.0.0.1:1"], "cuda")


@pytest.mark.parametrize("variable", VARIABLES)
def test_environment_variables(variable: str) -> None:
    name, _, value = variable.partition("=")
    if (told := VARIABLES[variable]) is None:
        check_environment({name: value})
        return
    with pytest.raises(ConfigError) as refused:
        check_environment({name: value})
    assert told in str(refused.value)


def test_a_long_temporary_folder_gets_a_short_name(tmp_path: Path) -> None:
    folder = tmp_path / ("ü" * 30) / "tmp"
    for name in ("TMPDIR", "RAY_TMPDIR"):
        environment = {name: str(folder)}
        use_short_temp_folders(environment)
        short = environment[name]
        assert len(os.fsencode(short)) <= LONGEST_TEMP_FOLDER and Path(short).resolve() == folder
        longest = f"{short}/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1"
        Path(longest).parent.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(longest)
        Path(longest).unlink()
        use_short_temp_folders(environment)
        assert environment[name] == short


@pytest.mark.parametrize(
    ("given", "used"), [("/tmp", "/tmp"), ("", None), (" ", None), ("/tmp/", "/tmp"), ("/tmp/./", "/tmp")]
)
def test_short_temporary_folders(given: str, used: str | None) -> None:
    environment = {"TMPDIR": given}
    use_short_temp_folders(environment)
    assert environment.get("TMPDIR") == used


@pytest.mark.parametrize("folder", ["/proc/nothing", "/dev/null", "{file}/below"])
def test_temporary_folders_that_cannot_be_written(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = folder.replace("{file}", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=f"TMPDIR {folder}: cannot be written"):
        use_short_temp_folders({"TMPDIR": folder})


@pytest.mark.parametrize("variable", ["RAY_ADDRESS=http://127.0.0.1:8265", "OMP_NUM_THREADS=many", "TMPDIR=/dev/null"])
def test_a_job_is_refused_before_its_data_is_read(
    variable: str, tiny_llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = job_config(job_options(tiny_llama, "/nowhere/prompts.jsonl", "/nowhere/reward.py", tmp_path))
    monkeypatch.setenv(*variable.split("=", 1))
    with pytest.raises(ConfigError, match=variable.replace("=", " ")):
        job.run(config)


def test_what_lasts_is_told_again() -> None:
    said = StringIO()
    with announced("Loading", said, every=0.05):
        time.sleep(0.3)
    first, *later = said.getvalue().splitlines()
    assert first == "Loading ..." and later and all(line == "Loading: 0 s" for line in later)
    with pytest.raises(ValueError), announced("Failing", said):
        int("not a number")


def test_time_left_waits_for_a_steady_step(tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = job_config(job_options(tiny_llama, "d.jsonl", "r.py", tmp_path))
    for resumed in (None, 4):
        (tmp_path / "tensorboard").mkdir(exist_ok=True)
        log = MetricsLog(config, 10, resumed)
        first = (resumed or 0) + 1
        for step in range(first - 1 if resumed is None else first, first + 3):
            log.write(step, {})
        log.close()
        lines = capsys.readouterr().out.splitlines()
        assert [" | left" in line for line in lines] == [False] * (len(lines) - 2) + [True, True]
