"""The set-up scripts: what they say of a machine, and the state that they leave, whatever happens on the way.

Stand-ins answer for what is not here (a GPU, a network): the machine's commands, uv, and pip inside a real .venv.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_tasks import ROOT

SCRIPTS = ROOT / "examples" / "scripts"
GOOD = {
    "uname": "Linux x86_64",
    "getconf": "glibc 2.31",
    "df": "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda 99999999 1 20971520 1% /",
    "nvidia-smi": "580.65.06, 9.0\n580.65.06, 9.0",
    "nvcc": "Cuda compilation tools, release 13.0, V13.0.88",
    "g++": "",
}
WORSE = {
    "another system": ({"uname": "Darwin arm64"}, "built for Linux on x86-64, and this is Darwin arm64"),
    "an older glibc": ({"getconf": "glibc 2.28"}, "need glibc 2.31 or newer .+this machine has glibc 2.28"),
    "a full disk": ({"df": GOOD["df"].replace("20971520", "5242880")}, "need 10 GB of disk, and .+ has 5 GB free"),
    "no driver": ({"nvidia-smi": None}, r"no NVIDIA driver \(nvidia-smi does not answer\).+needs driver 580 or newer"),
    "an older driver": ({"nvidia-smi": "570.86.15, 9.0"}, "NVIDIA driver 570.86.15 is too old for CUDA 13.0"),
    "one older GPU": ({"nvidia-smi": "580.65.06, 9.0\n580.65.06, 7.5"}, "a GPU of compute capability 7.5: bfloat16"),
    "a newer toolkit": ({"nvcc": "release 13.1, V13.1.1"}, r"no CUDA 13.0 toolkit \(.+/nvcc: 13.1\)"),
    "no headers of Python": ({"python3.11": "/nowhere"}, "no Python.h for 'python3.11', which Triton compiles with"),
    "no toolkit": ({"nvcc": None}, r"no CUDA 13.0 toolkit \(.+/nvcc: none\).+install cuda-toolkit-13-0 and"),
}


def write_command(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
    (folder / name).chmod(0o755)


def check_machine(folder: Path, answers: dict[str, str | None], *words: str) -> subprocess.CompletedProcess[str]:
    """Run the GPU script where the machine's commands answer so; None for one that fails."""
    (folder / "Python.h").touch()
    answers = GOOD | {"python3.11": str(folder)} | answers
    for name, answer in answers.items():
        write_command(folder, name, "exit 1" if answer is None else f"cat <<'ANSWER'\n{answer}\nANSWER")
    python = f'[[ $* == *get_path* ]] && echo {answers["python3.11"]} || exec {sys.executable} "$@"'
    write_command(folder, "python3.11", python)
    unset = ("PYTHON", "CUDA_HOME", "CUDA_PATH")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment["PATH"] = f"{folder}:{os.environ['PATH']}"
    command = ["bash", SCRIPTS / "setup_gpu.sh", *(words or ["--check"])]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_good_machine_lacks_nothing(tmp_path: Path) -> None:
    done = check_machine(tmp_path, {})
    assert (done.returncode, done.stdout, done.stderr) == (0, "This machine lacks nothing\n", "")
    other = check_machine(tmp_path, {}, "--verify")
    assert (other.returncode, other.stderr) == (1, "setup_gpu.sh: --verify: the only option is --check\n")


@pytest.mark.parametrize("case", WORSE)
def test_each_thing_that_a_machine_lacks_is_said(case: str, tmp_path: Path) -> None:
    answers, wanted = WORSE[case]
    done = check_machine(tmp_path, answers)
    assert done.returncode == 1 and done.stdout == ""
    heading, *lines = done.stderr.splitlines()
    assert heading.startswith("setup_gpu.sh: ") and len(lines) == 1
    assert re.match(f"  - .*{wanted}", lines[0])


class Clone:
    """The scripts and small locks in a folder of their own; pip in its environment and uv write down their calls."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "calls.log"
        (folder / "examples").mkdir(parents=True)
        shutil.copytree(SCRIPTS, folder / "examples" / "scripts", ignore=shutil.ignore_patterns("[!s]*"))
        (folder / "requirements").mkdir()
        for name in ("cpu", "gpu"):
            (folder / "requirements" / f"{name}.txt").write_text("torch==2.13.0\nuv==0.13.9\n")
        for name in ("setup.py", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
        (self.packages,) = (folder / ".venv" / "lib").glob("python3*/site-packages")
        (self.packages / "pip").mkdir()
        (self.packages / "pip" / "__main__.py").write_text(
            "import os, sys\n"
            f"open({str(self.log)!r}, 'a').write(' '.join(['pip', *sys.argv[1:]]) + chr(10))\n"
            "index = os.environ.get('PIPS_INDEX') if sys.argv[3:] == ['global.index-url'] else None\n"
            "print(index or '')\n"
            "sys.exit(sys.argv[1:2] == ['config'] and not index)\n"
        )
        self.uv("exit 0")
        self.add_package("torch", "2.13.0+cpu")

    def uv(self, then: str) -> None:
        write_command(self.folder / "bin", "uv", f'echo "uv $* from ${{UV_DEFAULT_INDEX:-}}" >>{self.log}; {then}')

    def add_package(self, name: str, version: str, *, whole: bool = True, requires: str = "") -> Path:
        metadata = self.packages / f"{name}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n{requires}")
        files = (f"{name}.py", f"__pycache__/{name}.cpython-311.pyc", f"{metadata.name}/RECORD")
        (metadata / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        if whole:
            (self.packages / f"{name}.py").touch()
        return metadata

    def start(self, script: str = "setup_cpu.sh", **environment: str) -> subprocess.Popen[str]:
        self.log.unlink(missing_ok=True)
        names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL", "PYTHON")
        variables = {name: value for name, value in os.environ.items() if name not in names}
        variables |= {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"} | environment
        return subprocess.Popen(
            ["bash", self.folder / "examples" / "scripts" / script],
            env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            # A shell in the background ignores it, and bash cannot trap what was ignored when it started.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    def run(self, script: str = "setup_cpu.sh", **environment: str) -> subprocess.CompletedProcess[str]:
        with self.start(script, **environment) as process:
            stdout, stderr = process.communicate(timeout=60)
        return subprocess.CompletedProcess([], process.returncode, stdout, stderr)

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "clone")


def test_the_lock_is_installed_by_uv_from_pips_index(clone: Clone) -> None:
    done = clone.run(PIPS_INDEX="https://pips.example/simple")
    assert done.returncode == 0, done.stderr
    by_uv = "uv pip install --python .venv/bin/python --no-deps --requirement requirements/cpu.txt from {}"
    assert by_uv.format("https://pips.example/simple") in clone.calls()
    assert not any("-r requirements/cpu.txt" in call for call in clone.calls())
    assert any(call.startswith("pip install") and call.endswith("--editable .") for call in clone.calls())
    assert clone.run().stdout == "" and clone.calls() == []  # all is there: no second set-up

    (clone.folder / ".venv" / ".prepo-setup").unlink()
    clone.run(PIPS_INDEX="https://pips.example/simple", UV_INDEX_URL="https://uvs.example/simple")
    assert by_uv.format("") in clone.calls()  # uv has a setting of its own


def test_pip_installs_what_uv_cannot(clone: Clone) -> None:
    clone.uv("echo no such package; exit 1")
    done = clone.run()
    assert done.returncode == 0, done.stderr
    assert "no such package\n      uv could not install them: pip tries it by its own settings\n" in done.stdout
    assert [call for call in clone.calls() if call.endswith("-r requirements/cpu.txt")]
    assert (clone.folder / ".venv" / ".prepo-setup").exists()


def test_ctrl_c_ends_it_and_the_next_run_repairs_what_is_half_there(clone: Clone) -> None:
    clone.uv(f"trap 'exit 130' INT; touch {clone.folder}/started; sleep 60 & wait")
    with clone.start() as process:
        while not (clone.folder / "started").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 130
    assert not (clone.folder / ".venv" / ".prepo-setup").exists()
    assert not any("-r requirements/cpu.txt" in call for call in clone.calls())  # pip is not tried in its place

    half, whole = clone.add_package("half", "1.0", whole=False), clone.add_package("whole", "1.0")
    clone.uv("exit 0")
    assert clone.run().returncode == 0
    assert not half.exists() and whole.exists()


def test_the_two_kinds_of_environments_are_kept_apart(clone: Clone) -> None:
    for name, answer in GOOD.items():
        write_command(clone.folder / "bin", name, f"cat <<'ANSWER'\n{answer}\nANSWER")
    mixed = clone.run("setup_gpu.sh")
    assert mixed.returncode == 1
    assert ".venv is what setup_cpu.sh makes, and packages for GPUs would break it" in mixed.stderr

    shutil.rmtree(clone.packages / "torch-2.13.0+cpu.dist-info")
    wrong = clone.run("setup_gpu.sh")
    assert wrong.returncode == 1 and "the torch that was installed is no CUDA build" in wrong.stderr

    clone.add_package("torch", "2.13.0", requires="Requires-Dist: cuda-toolkit==13.0.3\n")
    clone.add_package("vllm", "0.29.0")
    done = clone.run("setup_gpu.sh")
    assert done.returncode == 0 and done.stdout.endswith(f"Set up: {clone.folder}/.venv\n"), done.stderr
    assert clone.run("setup_gpu.sh").stdout == f"Set up: {clone.folder}/.venv\n" and clone.calls() == []
    mixed = clone.run("setup_cpu.sh")
    assert mixed.returncode == 1
    assert ".venv is what setup_gpu.sh makes, and packages for CPUs would break it" in mixed.stderr
