"""A Ray cluster of several raylets on one machine: the head on the first host, a raylet on each of the others."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hosts import Host
from tiny_tasks import ROOT

START_LIMIT, JOB_LIMIT = 180, 600  # seconds
# Ray's control store remembers dead actors: the class and node of each, in the order of their start.
LIST_ACTORS = """
import json, ray
from ray._private import state
ray.init(log_to_driver=False)
addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes()}
actors = sorted(state.actors().values(), key=lambda actor: actor["StartTime"])
print(json.dumps([(a["ActorClassName"], a["JobID"], addresses[a["Address"]["NodeID"]]) for a in actors]))
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster, as its user on the first host sees it."""

    hosts: Sequence[Host]
    port: int
    gpus: int  # of each host
    _until_its_end: ExitStack

    def join(self, host: int) -> None:
        """Start a raylet on a host that has none any more."""
        self._until_its_end.enter_context(_raylet(self.hosts[host], self.joining()))()

    def joining(self) -> list[str]:
        """Arguments of `ray start` on all hosts but the first."""
        return [f"--address={self.address}", f"--num-gpus={self.gpus}"]

    @property
    def address(self) -> str:
        return f"{self.hosts[0].address}:{self.port}"

    def run(self, arguments: Sequence[str], folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments on the first host, in `folder`; returns its output and exit code."""
        return subprocess.run(
            [*self.hosts[0].enter, sys.executable, *arguments], capture_output=True, text=True, timeout=JOB_LIMIT,
            cwd=folder, env=os.environ | {"RAY_ADDRESS": self.address},
        )  # fmt: skip

    def train(self, options: Sequence[str], folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Run a training job's command line, in `folder`, to its end."""
        return self.run(["-m", "prepo_rlhf.cli.train_prepo_ray", *options], folder)

    def actors_of_last_job(self) -> dict[str, list[str]]:
        """Addresses of the nodes on which the actors of each class ran, in the order of their start."""
        listed = self.run(["-c", LIST_ACTORS])
        assert listed.returncode == 0, listed.stderr
        actors = json.loads(listed.stdout)
        last = max(job for _, job, _ in actors)
        nodes: dict[str, list[str]] = {}
        for name, job, address in actors:
            if job == last:
                nodes.setdefault(name, []).append(address)
        return nodes


@contextmanager
def ray_cluster(hosts: Sequence[Host], gpus: int) -> Iterator[Cluster]:
    """A raylet with `gpus` logical GPUs on each host, all of which are gone afterwards."""
    with ExitStack() as undo:
        cluster = Cluster(hosts, _free_port(), gpus, undo)
        head = ["--head", f"--port={cluster.port}", "--include-dashboard=false"]
        undo.enter_context(_raylet(hosts[0], [*head, f"--num-gpus={gpus}"]))()
        for wait in [undo.enter_context(_raylet(host, cluster.joining())) for host in hosts[1:]]:
            wait()
        yield cluster


@contextmanager
def _raylet(host: Host, arguments: Sequence[str]) -> Iterator[Callable[[], None]]:
    """Start a raylet; the function that it gives waits until it has joined the cluster."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short: Ray keeps sockets in it
    command = [*host.enter, str(Path(sys.executable).parent / "ray"), "start", "--block", "--disable-usage-stats"]
    command += ["--num-cpus=8", f"--object-store-memory={256 * 2**20}", f"--temp-dir={folder}"]
    log = folder / "start.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, f"--node-ip-address={host.address}", *arguments], stdout=output, stderr=subprocess.STDOUT
        )

    def wait_until_joined() -> None:
        deadline = time.monotonic() + START_LIMIT
        while "Ray runtime started" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no raylet on {host.address}:\n{log.read_text()}")
            time.sleep(0.2)

    try:
        yield wait_until_joined
    finally:
        process.terminate()  # with --block, Ray's processes end with it
        process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
