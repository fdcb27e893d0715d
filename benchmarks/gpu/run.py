"""All that is measured on one GPU, part by part, each in a process of its own with a limit on its time.

    bash benchmarks/gpu.sh [--parts engine,steps] [--output runs/gpu] [--minutes 8] [--tiny]

A part that fails, or runs past its limit, stops no other: OUTPUT/PART.json says why, and OUTPUT/PART.log has all that
it said. Without a GPU, and with --tiny, the same parts run with tiny shapes, which measure nothing.
Boundary: the standard library, so that it can say which packages are missing.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from machine import describe, find_gpu

BENCHMARKS = Path(__file__).parents[1]
ROOT = BENCHMARKS.parent
MODEL = ("torch", "transformers", "openrlhf", "deepspeed", "ray", "peft", "rich")
STACK = (*MODEL, "vllm", "psutil")
GRACE = 15  # seconds for a part that has been told to end
WHOLE = 8  # minutes that the limits below are meant for; with other --minutes they grow or shrink


@dataclass(frozen=True)
class Part:
    """A program with its arguments, the tiny ones, the packages it needs, and its limit in seconds of WHOLE minutes."""

    program: str
    needs: tuple[str, ...]
    limit: float
    real: str = ""
    tiny: str = ""
    shares_model: bool = False  # with other parts, in the folder of --work


_PASS = "--num_tokens 16384 --dtype bf16 --pairs 3"
_TINY_PASS = "--vocabulary 512 --hidden_size 128 --num_tokens 256 --length 64 --pairs 1"
_TINY_JOB = "--shape tiny --prompts 2 --new_tokens 16"
PARTS = {  # the short ones first: the last are what is left out where time runs short
    "output_head": Part("output_head.py", ("torch", "rich"), 60, "--pairs 3", "--tiny --pairs 1"),
    "gpu_tests": Part("gpu/gpu_tests.py", ("torch", "transformers", "pytest", "hypothesis"), 60),
    "policy_pass_7b": Part("policy_pass.py", MODEL, 60, f"--hidden_size 3584 {_PASS}", _TINY_PASS),
    "policy_pass_8b": Part("policy_pass.py", MODEL, 60, f"--vocabulary 128256 --hidden_size 4096 {_PASS}", _TINY_PASS),
    "engine": Part(
        "gpu/engine.py", STACK, 120, "",
        "--shape tiny --dtype fp32 --scored 8 --prompt_tokens 32 --generated 4 --new_tokens 16", shares_model=True,
    ),
    "steps": Part("gpu/steps.py", STACK, 180, "", f"{_TINY_JOB} --steps 2", shares_model=True),
    "determinism": Part("gpu/determinism.py", STACK, 150, "", _TINY_JOB, shares_model=True),
}  # fmt: skip


def missing(part: Part) -> list[str]:
    """The packages it needs that this Python does not have."""
    return [name for name in part.needs if find_spec(name) is None]


def command_of(part: Part, tiny: bool, work: Path, result: Path) -> list[str]:
    words = shlex.split(part.tiny if tiny else part.real)
    shared = ["--work", str(work)] if part.shares_model else []
    return [sys.executable, str(BENCHMARKS / part.program), *words, *shared, "--output", str(result)]


def environment() -> dict[str, str]:
    """Of the parts: this clone's package, a Ray of their own, no network."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    values = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
    values.pop("RAY_ADDRESS", None)
    if find_spec("flashinfer") is None:  # else vLLM would sample with what is not there
        values.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
    return values


def run_part(command: Sequence[str], log: Path, seconds: float) -> str | None:
    """Run it to its end or its limit; why it failed, or None."""
    with open(log, "w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment(), cwd=ROOT, start_new_session=True
        )
        try:
            ended = process.wait(seconds)
        except subprocess.TimeoutExpired:
            end(process)
            return f"ran past its limit of {seconds:.0f} s"
        except BaseException:  # Ctrl-C reaches this process alone
            end(process)
            raise
    if ended == 0:
        return None
    return f"ended with {ended}: {last_words(log)}"


def end(process: subprocess.Popen[bytes]) -> None:
    """End it and what it has started; what Ray has started ends with it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def last_words(log: Path) -> str:
    """The end of what a part said, in which the reason stands as a rule."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-600:] or "it said nothing"


def record(name: str, part: Part, args: argparse.Namespace, work: Path, left: float) -> dict[str, Any]:
    """Run a part in the `left` seconds at most, and what is to stand in its JSON."""
    entry: dict[str, Any] = {"part": name, "ok": False, "tiny": args.tiny, "seconds": 0.0, "result": None}
    lacking, limit = missing(part), min(part.limit * args.minutes / WHOLE, left)
    if lacking:
        return entry | {"reason": f"needs {', '.join(lacking)}, which {sys.executable} does not have"}
    if limit <= 0:
        return entry | {"reason": f"no time was left of --minutes {args.minutes:g}"}
    result, log = work / f"{name}.json", args.output / f"{name}.log"
    command, start = command_of(part, args.tiny, work, result), time.monotonic()
    reason = run_part(command, log, limit)
    seconds = round(time.monotonic() - start, 1)
    found = json.loads(result.read_text()) if result.is_file() else None
    if found is None and reason is None:
        reason = "it left no result"
    return entry | {
        "ok": reason is None, "reason": reason, "seconds": seconds, "command": shlex.join(command), "log": log.name,
        "result": found,
    }  # fmt: skip


def told(entry: Mapping[str, Any]) -> str:
    """A line for the terminal."""
    outcome = "ok" if entry["ok"] else f"failed: {entry['reason']}"
    return f"{entry['part']:<16}{entry['seconds']:>6.0f} s  {outcome}"


def where(gpu: Mapping[str, Any] | None, tiny: bool) -> str:
    if find_spec("torch") is None:
        return f"{sys.executable} has no torch"
    shapes = "tiny shapes, which measure nothing" if tiny else "real shapes"
    return f"{gpu['name']}, {gpu['gib']:.0f} GiB, {shapes}" if gpu else f"no GPU here: {shapes}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/gpu"), help="folder of the JSON files")
    parser.add_argument("--parts", default=",".join(PARTS), help="of them, separated by commas")
    parser.add_argument("--minutes", type=float, default=WHOLE, help="for all parts together")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, as where there is no GPU")
    args = parser.parse_args()
    args.parts = args.parts.split(",")
    if unknown := [name for name in args.parts if name not in PARTS]:
        parser.error(f"--parts {','.join(unknown)}: there are {', '.join(PARTS)}")
    args.output = args.output.absolute()
    return args


def main() -> int:
    """1 if a part has failed."""
    args = parse()
    deadline, gpu = time.monotonic() + 60 * args.minutes, find_gpu()
    machine = describe(gpu)
    args.tiny = args.tiny or gpu is None
    args.output.mkdir(parents=True, exist_ok=True)
    print(f"{where(gpu, args.tiny)}; results go to {args.output}", flush=True)
    all_ok = True
    with tempfile.TemporaryDirectory() as work:
        for name in args.parts:
            entry = record(name, PARTS[name], args, Path(work), deadline - time.monotonic()) | {"machine": machine}
            (args.output / f"{name}.json").write_text(json.dumps(entry, indent=2) + "\n")
            print(told(entry), flush=True)
            all_ok &= entry["ok"]
    return 0 if all_ok else 1


if __name__ == "__main__":
    sys.exit(main())
