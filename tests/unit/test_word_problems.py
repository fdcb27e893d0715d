"""The word problems: cleaning and splitting of rows of every format, and the warm-up on a tiny model."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from chat_models import make_chat_model
from tiny_tasks import ROOT
from transformers import AutoModelForCausalLM, AutoTokenizer

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.data_recipes.questions import same_problem_key
from prepo_rlhf.rewards.equivalence import equivalent
from prepo_rlhf.rewards.extraction import extract_answer

EXAMPLE = ROOT / "examples" / "word_problems"
RECIPE = ROOT / "examples" / "recipes" / "prepo_words_cpu.yaml"
PARTS = ("train", "held_out", "warm_up")


def load(name: str) -> ModuleType:
    """A file of the example, which is a folder of scripts; under a name that no other example's has."""
    spec = importlib.util.spec_from_file_location(f"word_problems_{name}", EXAMPLE / f"{name}.py")
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


problems, warm_up = load("problems"), load("warm_up")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def made_up(folder: Path) -> dict[str, int]:
    """Rows of each format, with copies and contradictions among them; how many rows of each kind there are."""
    svamp = [
        {"Body": f"Ann has {n} apples and buys {n} more", "Question": "How many has she?", "Answer": 2.0 * n,
         "Equation": f"( {n}.0 + {n}.0 )", "Type": "Addition", "ID": f"chal-{n}"}
        for n in range(1, 461)
    ]  # fmt: skip
    asdiv = [
        {"body": f"Bo has {n} pens. He loses 1.", "question": "How many are left? ", "solution_type": "Subtraction",
         "answer": f"{n - 1} (pens)", "formula": f"{n}-1={n - 1}"}
        for n in range(1, 301)
    ]  # fmt: skip
    unusable = [asdiv[0] | {"body": f"It is {answer}.", "answer": answer} for answer in ("Yes", "3:30")]
    copies = [{"input": f"Bo has {n} pens . He loses 1 . How many are left ?", "target": n - 1.0} for n in range(1, 11)]
    wrong = [{"input": f"Bo has {n} pens. He loses 1. How many are left?", "target": n + 1.0} for n in range(21, 26)]
    own = [{"input": f"Cem walks {n}.5 miles twice. How far is that?", "target": 2 * n + 1.0} for n in range(200)]
    mawps = [row | {"type": "singleop"} for row in [*own, *own[:7], *copies, *wrong]]
    for name, rows in (("svamp", svamp), ("asdiv", [*asdiv, *unusable]), ("mawps", mawps)):
        write(folder / f"{name}.jsonl", rows)
    return {"svamp": 460, "asdiv": 302, "mawps": 222, "kept": 460 + 300 - 5 + 200}


def prepared(folder: Path, seed: int = 0, names: tuple[str, ...] = tuple(problems.SOURCES)) -> dict[str, str]:
    return problems.prepare(names, str(folder), seed)[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int], dict[str, str]]:
    folder = tmp_path_factory.mktemp("rows")
    return folder, made_up(folder), prepared(folder)


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        (145.0, "145"), ("145.0", "145"), (20, "20"), ("9 (apples)", "9"), ("14  (seats)", "14"), (0.5, "0.5"),
        (".5", "0.5"), ("1,222 (kg)", "1222"), ("-3", "-3"), (0.0, "0"), (1000.0, "1000"), ("2.50 (dollars)", "2.5"),
        ("Yes", None), ("3:30 p.m.", None), ("5:6", None), ("6th", None), ("5/2", None), ("", None), (None, None),
        ("4 (apples); 5 (pears)", None), ("(apples)", None), (float("nan"), None),
    ],
)  # fmt: skip
def test_an_answer_is_one_number_or_none(answer: Any, number: str | None) -> None:
    assert problems.one_number(answer) == number


@pytest.mark.parametrize(
    ("formula", "answer", "equation"),
    [
        ("( 290.0 / 2.0 )", "145", "290/2=145"),
        ("( ( 2.0 + 3.0 ) + 10.0 )", "15", "(2+3)+10=15"),
        ("( ( 1.0 + 2.0 ) * ( 3.0 + 4.0 ) )", "21", "(1+2)*(3+4)=21"),
        ("(1+2)*(3+4)=21", "21", "(1+2)*(3+4)=21"),
        ("7+2=9", "9", "7+2=9"),
        ("0.60 * 2 = 1.2", "1.2", "0.60*2=1.2"),
        ("10.05-0.05=10", "10", "10.05-0.05=10"),
        ("47/6=7 r5", "5", None),  # the answer is what is left over
        ("94/8=11 r6", "11", None),
        ("3*4=12; 12-2=10; 3+12+10=25", "25", None),
        ("11 (day) * 24 (hour/day) = 264", "264", None),
        ("x=y*2+1; y=3", "7", None),
        ("7+2=8", "8", None),
        ("9=9", "9", None),
        ("(7+2=9", "9", None),
        ("", "9", None),
    ],
)
def test_an_equation_is_a_sum_that_is_true_or_none(formula: str, answer: str, equation: str | None) -> None:
    assert problems.equation(formula, answer) == equation


@pytest.mark.parametrize(
    ("body", "question", "text"),
    [
        ("He has 3 pens", "How many?", "He has 3 pens. How many?"),
        ("He has 3 pens. ", " How many? ", "He has 3 pens. How many?"),
        ("Really?", "How many?", "Really? How many?"),
        ("If he has 3,", "how many?", "If he has 3, how many?"),
        ("", "How many?", "How many?"),
    ],
)
def test_body_and_question_are_one_text(body: str, question: str, text: str) -> None:
    assert problems.joined(body, question) == text


def test_what_is_left_out_is_counted(made: tuple[Path, dict[str, int], dict[str, str]]) -> None:
    _, expected, files = made
    report = json.loads(files["report.json"])
    assert {name: counts["rows"] for name, counts in report["sources"].items()} == {
        name: expected[name] for name in problems.SOURCES
    }
    assert report["sources"]["asdiv"]["answer is no single number"] == 2
    dropped = {reason.split(":")[0]: number for reason, number in report["dropped"].items() if number}
    assert dropped == {
        "the same text as an earlier row": 7,
        "the same problem in other typesetting": 10,
        "answers that contradict each other": 10,
    }
    assert report["problems"] == expected["kept"] == sum(report[part] for part in PARTS)
    assert len(report["contradicting_answers"]) == 5
    kept = {name: counts["problems left"] for name, counts in report["sources"].items()}
    assert kept == {"svamp": 460, "asdiv": 295, "mawps": 200}  # of copies ASDiv's stays, which states its equation


def check_files(files: dict[str, str]) -> None:
    """No problem is in two files or twice in one; held-out problems are of all sources, and warm-up answers right."""
    rows = {part: read(files[f"{part}.jsonl"]) for part in PARTS}
    keys = {part: [same_problem_key(row["prompt"]) for row in rows[part]] for part in PARTS}
    assert all(len(set(found)) == len(found) for found in keys.values())
    assert all(set(keys[one]).isdisjoint(keys[other]) for one, other in combinations(PARTS, 2))
    assert (len(rows["held_out"]), len(rows["warm_up"])) == (problems.HELD_OUT, problems.WARM_UP)
    sources = {part: {row["source"] for row in rows[part]} for part in PARTS}
    assert sources["held_out"] == sources["train"] >= sources["warm_up"]
    for row in rows["warm_up"]:
        assert extract_answer(row["response"], "boxed") == row["answer"]
        left, right = row["response"].split(". The answer is ")[0].split("=")
        assert right == row["answer"] and equivalent(left, right)
    keys_of_rows = {frozenset(row) - {"response"} for part in PARTS for row in rows[part]}
    assert keys_of_rows == {frozenset(("prompt", "answer", "datasource", "source", "kind"))}


def test_every_problem_is_in_one_file(made: tuple[Path, dict[str, int], dict[str, str]]) -> None:
    check_files(made[2])


def test_the_files_are_those_of_their_seed(made: tuple[Path, dict[str, int], dict[str, str]]) -> None:
    folder, _, files = made
    assert prepared(folder) == files
    other = prepared(folder, seed=1)
    assert all(other[f"{part}.jsonl"] != files[f"{part}.jsonl"] for part in PARTS)


def test_a_source_may_be_left_out(made: tuple[Path, dict[str, int], dict[str, str]], tmp_path: Path) -> None:
    """And then needs no file. What is asked for and not there, or of another kind, is told."""
    folder = made[0]
    for name in ("asdiv", "mawps"):
        write(tmp_path / f"{name}.jsonl", read((folder / f"{name}.jsonl").read_text()))
    with pytest.raises(ConfigError, match=r"neither a file svamp.jsonl .+ nor a folder SVAMP .+ --without svamp"):
        prepared(tmp_path)
    with pytest.raises(ConfigError, match=r"of 495 problems 240 are held out .+ of which there are \d+"):
        prepared(tmp_path, names=("asdiv", "mawps"))
    write(tmp_path / "svamp.jsonl", read((folder / "mawps.jsonl").read_text()))
    with pytest.raises(ConfigError, match=r"svamp.jsonl: line 1 is no row of svamp \(KeyError\('Body'\)\)"):
        prepared(tmp_path)


def test_folders_of_the_hub_are_read(made: tuple[Path, dict[str, int], dict[str, str]], tmp_path: Path) -> None:
    """Under the names and with the columns that the hub's copies have."""
    rows = {name: read((made[0] / f"{name}.jsonl").read_text()) for name in problems.SOURCES}
    mawps = [{"question": row["input"], "result": str(row["target"])} for row in rows["mawps"]]
    for start, part in ((0, "train"), (100, "test")):
        write(tmp_path / "SVAMP" / f"{part}.jsonl", rows["svamp"][start : start + 100 if part == "train" else None])
    write(tmp_path / "asdiv" / "validation.jsonl", rows["asdiv"])
    for number, part in enumerate(("train", "validation", "test")):
        write(tmp_path / "Calc-mawps" / f"{part}.jsonl", mawps[number::3])
    report = json.loads(prepared(tmp_path)["report.json"])
    assert report["problems"] == made[1]["kept"]
    assert report["sources"]["svamp"]["rows"] == 460 and report["sources"]["mawps"]["rows"] == 222


def test_the_real_problems(benchmarks: Path) -> None:
    files, report = problems.prepare(tuple(problems.SOURCES), str(benchmarks), 42)
    check_files(files)
    read_rows = sum(counts["rows"] for counts in report["sources"].values())
    without_number = sum(counts["answer is no single number"] for counts in report["sources"].values())
    assert report["problems"] == read_rows - without_number - sum(report["dropped"].values())
    assert report["train"] >= 2400  # 60 steps of the recipe


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A tiny model, and rows to warm it up with."""
    folder = tmp_path_factory.mktemp("warm")
    rng = random.Random(0)
    rows = []
    for _ in range(40):
        a, b = rng.randint(1, 50), rng.randint(1, 50)
        response = rf"{a}+{b}={a + b}. The answer is \boxed{{{a + b}}}."
        rows.append({"prompt": f"What is {a} and {b}?", "response": response})
    return make_chat_model(folder / "base", [row["response"] for row in rows]), write(folder / "warm_up.jsonl", rows)


def test_the_loss_is_that_of_the_answers_tokens(tiny: tuple[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny[0])
    model = AutoModelForCausalLM.from_pretrained(tiny[0], dtype=torch.float32)
    texts = [("<|im_start|>user\nWhat is 3 and 4?", r"3+4=7. The answer is \boxed{7}."), ("Hm?", "7.")]
    rows = [warm_up.tokens_of(*text, tokenizer) for text in texts]
    total, count = 0.0, 0
    for prompt, response in texts:  # one at a time, without padding, token by token
        before = tokenizer.encode(prompt, add_special_tokens=False)
        after = tokenizer.encode(response, add_special_tokens=False) + [tokenizer.eos_token_id]
        log_probs = model(input_ids=torch.tensor([before + after])).logits[0].log_softmax(-1)
        for position, token in enumerate(after, start=len(before)):
            total, count = total - log_probs[position - 1, token].item(), count + 1
    assert model(**warm_up.padded(rows)).loss.item() == pytest.approx(total / count, rel=1e-4)


def make(tiny: tuple[str, Path], folder: Path, **changes: Any) -> bool:
    return warm_up.warm_up(tiny[0], tiny[1], RECIPE, folder, warm_up.Options(**changes))


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_the_warm_up_is_that_of_its_seed_and_learns(tiny: tuple[str, Path], tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in ("one", "same", "other"))
    assert make(tiny, one) and make(tiny, same) and make(tiny, other, seed=1)
    assert weights(one) == weights(same) != weights(other)
    tokenizer = AutoTokenizer.from_pretrained(one)
    rows = [warm_up.tokens_of(row["prompt"], row["response"], tokenizer) for row in read(tiny[1].read_text())]
    model = AutoModelForCausalLM.from_pretrained(tiny[0], dtype=torch.float32)
    losses = warm_up.train(model, rows * 20, warm_up.Options(learning_rate=1e-3))
    assert len(losses) == 50 and losses[-1] < losses[0] / 2


def test_a_warm_model_is_kept_only_if_it_is_made_of_the_same(tiny: tuple[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "warm"
    assert make(tiny, folder)
    assert not make(tiny, folder)
    assert make(tiny, folder, learning_rate=1e-4) and not make(tiny, folder, learning_rate=1e-4)
    fewer = write(tmp_path / "warm_up.jsonl", read(tiny[1].read_text())[:-1])
    assert make((tiny[0], fewer), folder, learning_rate=1e-4)
    another = make_chat_model(tmp_path / "base", ["What is another?"])
    assert make((another, fewer), folder, learning_rate=1e-4)
    (folder / warm_up.MADE_OF).unlink()  # as after a run that was stopped while it saved
    assert make((another, fewer), folder, learning_rate=1e-4)
