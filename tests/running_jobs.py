"""Training jobs that can be watched, and reached, while they run; each on a Ray cluster of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from hosts import loopback_hosts
from raylets import Cluster, ray_cluster
from tiny_tasks import ROOT

from prepo_rlhf.files.rows import complete_lines

LIMIT = 300  # seconds for a job to reach a step, or to end


@dataclass
class RunningJob:
    """A training job under way: its driver, which says all that it says in `log`, and the processes of its cluster."""

    driver: subprocess.Popen
    log: Path
    cluster: Cluster
    run_dir: Path

    def raylet(self, host: int = 0) -> psutil.Process:
        raylets = [
            process
            for process in psutil.process_iter(["name", "cmdline", "create_time"])
            if process.info["name"] == "raylet"
            and any(word.endswith(f":{self.cluster.port}") for word in process.info["cmdline"] or ())
        ]
        return sorted(raylets, key=lambda process: process.info["create_time"])[host]  # as the hosts were started

    def process(self, title: str, which: int = 0) -> psutil.Process:
        """The first of the job's processes with this title, or a later one: an actor, or vLLM's part of one."""
        found = self.titled(title)
        assert len(found) > which, f"{len(found)} {title}"
        return found[which]

    def wait_for_processes(self, title: str, number: int) -> None:
        deadline = time.monotonic() + LIMIT
        while len(self.titled(title)) < number:
            assert time.monotonic() < deadline and self.driver.poll() is None, f"not {number} {title}"
            time.sleep(0.05)

    def titled(self, title: str) -> list[psutil.Process]:
        """All of the job's processes whose title begins so."""
        titles = {process: process.info["cmdline"][0] for process in self.processes() if process.info["cmdline"]}
        return [process for process, its_title in titles.items() if its_title.startswith(title)]

    def processes(self) -> Iterator[psutil.Process]:
        """What the raylet has started, with the `info` of name and command line."""
        started = set(self.raylet().children(recursive=True))
        return (process for process in psutil.process_iter(["name", "cmdline"]) if process in started)

    def step(self) -> int:
        """The last step whose metrics are on disk."""
        file = self.run_dir / "metrics.jsonl"
        lines = complete_lines(file) if file.is_file() else []
        return json.loads(lines[-1])["step"] if lines else 0

    def wait_for_step(self, step: int) -> None:
        deadline = time.monotonic() + LIMIT
        while self.step() < step:
            assert self.driver.poll() is None, f"ended before step {step}:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"step {step} was not reached"
            time.sleep(0.02)

    def events(self) -> list[dict[str, Any]]:
        """What the job has recorded of its restarts."""
        file = self.run_dir / "events.jsonl"
        return [json.loads(line) for line in complete_lines(file)] if file.is_file() else []

    def wait_for_events(self, number: int) -> None:
        deadline = time.monotonic() + LIMIT
        while len(self.events()) < number:
            assert self.driver.poll() is None, f"ended without restart {number}:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"restart {number} did not come"
            time.sleep(0.05)

    def end(self) -> tuple[int, str]:
        """Exit code and what was said when the driver has ended."""
        try:
            return self.driver.wait(timeout=LIMIT), self.log.read_text()
        except subprocess.TimeoutExpired:
            raise AssertionError(f"goes on after {LIMIT} s:\n{self.log.read_text()}") from None


@contextmanager
def running_job(options: list[str], run_dir: Path, hosts: int = 1) -> Iterator[RunningJob]:
    """A job on a Ray cluster of its own. None of vLLM's processes is left afterwards, or an assertion fails."""
    with ray_cluster(loopback_hosts(hosts), gpus=4 // hosts) as cluster:
        command = [sys.executable, "-m", "prepo_rlhf.cli.train_prepo_ray", *options]
        log, environment = run_dir.with_suffix(".log"), os.environ | {"RAY_ADDRESS": cluster.address}
        with log.open("w") as output:
            driver = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
        try:
            yield RunningJob(driver, log, cluster, run_dir)
        finally:
            driver.kill()
            driver.wait()
    deadline = time.monotonic() + 20
    while left := vllm_processes(cluster):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.2)


def vllm_processes(cluster: Cluster) -> list[psutil.Process]:
    """vLLM's own processes, which are no Ray workers and may outlive them, of a cluster's jobs."""
    found = []
    for process in psutil.process_iter():
        try:
            address = process.environ().get("RAY_ADDRESS", "") if process.name().startswith("VLLM") else ""
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if address.endswith(f":{cluster.port}"):
            found.append(process)
    return found
