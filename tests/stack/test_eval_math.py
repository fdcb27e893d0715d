"""The benchmark command on the real stack: every real benchmark, a kill in the middle, comparison and coverage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from finished_runs import FinishedRun
from scipy.stats import spearmanr
from tiny_models import make_tiny_model
from tiny_tasks import ROOT
from transformers import AutoModelForCausalLM, AutoTokenizer

pytestmark = pytest.mark.usefixtures("ray_head")
NAMES = ["gsm8k", "math500", "aime24", "aime25", "olympiadbench"]
ARITHMETIC = ROOT / "examples" / "arithmetic"


def eval_math(*arguments: object, timeout: int = 400) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "prepo_rlhf.cli.eval_math", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def read_samples(folder: Path) -> dict[tuple[str, str, int], dict[str, object]]:
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    samples = {(row["benchmark"], row["problem"], row["sample"]): row for row in rows}
    assert len(samples) == len(rows)
    return samples


@pytest.mark.long
def test_every_real_benchmark_from_the_script(benchmarks: Path, tmp_path: Path) -> None:
    """20 problems of each with a random 2-layer model on two engines; going on afterwards changes nothing."""
    texts = [json.loads(line)["question"] for line in (benchmarks / "gsm8k_test.jsonl").read_text().splitlines()[:300]]
    model = make_tiny_model(tmp_path / "model", texts, family="qwen2")
    script = ["bash", str(ROOT / "examples" / "scripts" / "eval_math.sh")]
    options = ["--model", model, "--data_dir", str(benchmarks), "--prompt", "qwen-math", "--limit", "20", "--n", "4"]
    options += ["--max_new_tokens", "16", "--num_engines", "2", "--temperature", "1", "--math.extraction", "any"]
    options += ["--param_dtype", "fp32"]
    folder = tmp_path / "out"
    command = [*script, *options, "--output_dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    results = json.loads((folder / "results.json").read_text())["benchmarks"]
    assert list(results) == NAMES
    expected = {"avg@4", "avg@4_low", "avg@4_high", "pass@1", "pass@2", "pass@4", "response_length", "truncated_ratio"}
    for result in results.values():
        assert result["num_problems"] == 20 and expected <= result["overall"].keys()
        assert result["overall"]["response_length"] <= 16
    assert results["math500"]["subject"] and results["math500"]["level"] and results["olympiadbench"]["subject"]
    samples = read_samples(folder)
    assert len(samples) == 5 * 20 * 4
    assert all(isinstance(row["response"], str) for row in samples.values())
    assert (folder / "results.md").read_text().strip() in done.stdout and "| gsm8k | 20 | 4 |" in done.stdout

    before = (folder / "results.json").read_bytes()
    again = eval_math(*options, "--output_dir", folder)
    assert again.returncode == 0 and (folder / "results.json").read_bytes() == before
    other = eval_math(*options, "--output_dir", folder, "--temperature", "0.5")
    assert other.returncode == 2 and "--temperature was 1.0 and is now 0.5" in other.stderr


@pytest.fixture(scope="module")
def arithmetic_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 problems of the arithmetic example."""
    folder = tmp_path_factory.mktemp("arithmetic")
    make_data = [sys.executable, str(ARITHMETIC / "make_data.py"), "--output_dir", str(folder), "--train_size", "80"]
    subprocess.run([*make_data, "--heldout_size", "120"], check=True, capture_output=True)
    return folder / "heldout.jsonl"


@pytest.fixture(scope="module")
def arithmetic_options(arithmetic_data: Path) -> list[str]:
    """Of an evaluation of the example's `mid` model, as it is trained."""
    options = {
        "model": ARITHMETIC / "checkpoints" / "mid", "benchmarks": arithmetic_data, "n": 8,
        "question_key": "prompt", "answer_key": "label", "subject_key": "band", "level_key": "steps",
        "prompt": "file", "prompt_file": ARITHMETIC / "prompt.txt", "reward": ARITHMETIC / "reward.py",
        "temperature": 1, "top_p": 1, "max_new_tokens": 48, "param_dtype": "fp32",
    }  # fmt: skip
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def unbroken(ray_head: str, arithmetic_options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What that evaluation leaves, with the prompts' perplexities."""
    folder = tmp_path_factory.mktemp("unbroken")
    done = eval_math(*arithmetic_options, "--perplexity", "--output_dir", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_killed_and_started_again_it_ends_as_the_unbroken_one(
    unbroken: Path, arithmetic_options: list[str], tmp_path: Path
) -> None:
    options, broken = [*arithmetic_options, "--perplexity"], tmp_path / "broken"
    overall = json.loads((unbroken / "results.json").read_text())["benchmarks"]["heldout"]["overall"]
    assert 0.3 < overall["avg@8"] < 0.5 and overall["avg@8_low"] < overall["avg@8"] < overall["avg@8_high"]

    command = [sys.executable, "-m", "prepo_rlhf.cli.eval_math", *options, "--output_dir", str(broken)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_samples(broken / "samples.jsonl", process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = (broken / "samples.jsonl").read_bytes()
    assert 0 < finished.count(b"\n") < 120 * 8
    (broken / "samples.jsonl").write_bytes(finished[:-30])  # as if it had died while writing

    again = eval_math(*options, "--output_dir", broken)
    assert again.returncode == 0, again.stderr
    assert (broken / "results.json").read_bytes() == (unbroken / "results.json").read_bytes()
    assert read_samples(broken) == read_samples(unbroken)

    compared = eval_math("--compare", unbroken, broken)
    assert compared.returncode == 0 and "| heldout | 120 |" in compared.stdout
    assert "| +0.0 |" in compared.stdout  # equal ones have no interval


def wait_for_samples(path: Path, process: subprocess.Popen, count: int = 80) -> None:
    while not path.is_file() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, "the evaluation ended before it could be killed"
        time.sleep(0.05)


@pytest.mark.long
def test_samples_are_the_same_without_perplexity(unbroken: Path, arithmetic_options: list[str], tmp_path: Path) -> None:
    done = eval_math(*arithmetic_options, "--output_dir", tmp_path)
    assert done.returncode == 0, done.stderr
    extra, samples = ("perplexity", "prompt_tokens"), read_samples(unbroken)
    bare = {key: {name: value for name, value in row.items() if name not in extra} for key, row in samples.items()}
    assert bare == read_samples(tmp_path)
    results = [json.loads((folder / "results.json").read_text())["benchmarks"] for folder in (unbroken, tmp_path)]
    assert results[0]["heldout"]["overall"] == results[1]["heldout"]["overall"]

    refused = eval_math(*arithmetic_options, "--perplexity", "--output_dir", tmp_path)
    assert refused.returncode == 2 and "--perplexity: the samples in --output_dir were made without" in refused.stderr


def test_perplexity_beside_samples(unbroken: Path, arithmetic_data: Path) -> None:
    """Each prompt's is that of a plain forward."""
    samples = read_samples(unbroken)
    model = AutoModelForCausalLM.from_pretrained(ARITHMETIC / "checkpoints" / "mid", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(ARITHMETIC / "checkpoints" / "mid")
    questions = [json.loads(line)["prompt"] for line in arithmetic_data.read_text().splitlines()]
    template = (ARITHMETIC / "prompt.txt").read_text()
    perplexities, rates = [], []
    for number, question in enumerate(questions):
        prompt = template.replace("{question}", question)
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        rows = [samples["heldout", str(number), i] for i in range(8)]
        with torch.no_grad():
            log_probs = model(ids).logits[0, :-1].float().log_softmax(-1).gather(-1, ids[0, 1:, None])
        assert [row["prompt_tokens"] for row in rows] == [ids.shape[1]] * 8
        assert [row["perplexity"] for row in rows] == [pytest.approx((-log_probs.mean()).exp().item(), rel=1e-3)] * 8
        perplexities.append(rows[0]["perplexity"])
        rates.append(sum(row["score"] for row in rows) / 8)
    results = json.loads((unbroken / "results.json").read_text())["benchmarks"]["heldout"]
    assert results["perplexity"][0]["spearman"] == pytest.approx(spearmanr(perplexities, rates).statistic)
    assert sum(row["number"] for row in results["perplexity"][1:]) == 120
    assert "### Perplexity against pass rate" in (unbroken / "results.md").read_text()
    assert (unbroken / "perplexity_heldout.png").is_file()


def test_coverage_of_a_training_run(finished_run: FinishedRun, tiny_llama: str, tiny_data: str) -> None:
    prompts = [json.loads(line) for line in (finished_run.folder / "prompts.jsonl").read_text().splitlines()]
    assert [row["step"] for row in prompts] == list(range(1, 13))
    questions = [json.loads(line)["question"] for line in Path(tiny_data).read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    for row in prompts:
        texts = [questions[number] for number in row["rows"]]
        assert row["lengths"] == [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    epochs = [[number for row in half for number in row["rows"]] for half in (prompts[:6], prompts[6:])]
    assert all(len(epoch) == len(set(epoch)) == 24 for epoch in epochs)
    used = {number for epoch in epochs for number in epoch}
    odd = sum(number % 2 for number in used)

    covered = eval_math("--coverage", finished_run.folder, "--subject_key", "subject")
    assert covered.returncode == 0, covered.stderr
    cells = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in covered.stdout.splitlines() if "|" in line}
    assert [int(cells[name][2]) for name in ("even", "odd", "all")] == [len(used) - odd, odd, len(used)]
    refused = eval_math("--coverage", finished_run.folder, "--subject_key", "topic")
    assert refused.returncode == 2 and "--subject_key topic" in refused.stderr
