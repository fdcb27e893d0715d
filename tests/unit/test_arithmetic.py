"""The arithmetic task: problems, tokenizer, reward and splits."""

from __future__ import annotations

import importlib.util
import random
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

TASK = Path(__file__).parents[2] / "examples" / "arithmetic"


def load(name: str) -> ModuleType:
    """A file of the example, which is a folder of scripts and no package."""
    sys.path.insert(0, str(TASK))
    try:
        spec = importlib.util.spec_from_file_location(name, TASK / f"{name}.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(TASK))


problems, tokenizer_file, reward, make_data = map(load, ("problems", "tokenizer", "reward", "make_data"))


def score(response: str, label: str, prompt: str = "7 apples gains 5 (a):") -> float:
    return reward.reward_func([prompt + response], [prompt], [label])["rewards"].item()


def meaning(verb: str) -> str:
    for band in problems.BANDS:
        for symbol, verbs in (("+", band.add), ("-", band.subtract), ("*2", band.double), ("*3", band.triple)):
            if verb in verbs:
                return symbol
    raise AssertionError(f"{verb} is in no band")


def solve(prompt: str) -> int:
    """The result, read from the words alone."""
    value = int(prompt.split()[0])
    for phrase in re.split(r" \([a-f]\)", prompt.removesuffix(":").split(" ", 2)[2])[:-1]:
        verb, *operand = phrase.split()
        symbol = meaning(verb)
        factor = int(operand[0]) if operand else int(symbol[1])
        value = {"+": value + factor, "-": value - factor, "*": value * factor}[symbol[0]] % 10
    return value


def test_the_answer_is_the_solution_of_the_words() -> None:
    rng = random.Random(0)
    for _ in range(500):
        steps, band = rng.randint(1, 6), rng.randrange(12)
        problem = problems.sample_problem(steps, band, rng)
        assert problem.answer.endswith(f"#{solve(problem.prompt)}")
        assert problem.answer.count("=") == steps
        assert score(problem.answer + "<eos>", problem.label, problem.prompt) == 1


def test_problems_are_spread_evenly_and_follow_the_seed() -> None:
    drawn = problems.sample_problems(144, random.Random(3))
    assert drawn == problems.sample_problems(144, random.Random(3)) != problems.sample_problems(144, random.Random(4))
    cells = [(problem.steps, problem.band) for problem in drawn]
    assert all(cells.count((steps, band)) == 2 for steps in range(1, 7) for band in range(12))


def test_steps_may_come_more_or_less_often() -> None:
    drawn = problems.sample_problems(240, random.Random(3), step_weights=(1, 0, 0, 1, 0, 8))
    cells = [(problem.steps, problem.band) for problem in drawn]
    counts = {(steps, band): 2 * n for steps, n in ((1, 1), (2, 0), (4, 1), (6, 8)) for band in range(12)}
    assert all(cells.count(cell) == count for cell, count in counts.items())


def test_the_corpus_is_sloppier_where_wording_is_rare() -> None:
    def share_wrong(band_ratio: float) -> float:
        rng, corpus = random.Random(1), problems.Corpus(band_ratio=band_ratio, direct=0.0)
        pairs = [problems.sample_corpus(corpus, rng) for _ in range(2000)]
        return sum(int(answer[-1]) != solve(prompt) for prompt, answer in pairs) / len(pairs)

    assert share_wrong(0.01) < 0.1 < 0.2 < share_wrong(0.999)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (" (a)7+5=2,#2", 1),
        (" (a)7+5=2;#2<eos><pad><pad>", 1),
        (" (a)7+5=2,#3", 0),
        (" (a)7+5=3,#2", 0),
        ("#2", 0),
        (" (a)7+5=2,#2#2", 0),
        (" (a)7+4=2,#2", 0),
        ("", 0),
        ("<unk> gains =#", 0),
    ],
)
def test_the_reward_checks_every_value(response: str, expected: int) -> None:
    assert score(response, " (a)7+5=2,#2") == expected


def test_the_tokenizer_keeps_the_text(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer_file.build_tokenizer().save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    rng = random.Random(2)
    for _ in range(500):
        prompt, answer = problems.sample_corpus(problems.Corpus(step_ratio=0.99, band_ratio=0.99), rng)
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        both = tokenizer(prompt + answer + "<eos>", add_special_tokens=False)["input_ids"]
        assert both[: len(ids)] == ids and both[-1] == tokenizer.eos_token_id
        assert tokenizer.unk_token_id not in both
        assert tokenizer.decode(both) == prompt + answer + "<eos>"


def test_training_and_held_out_prompts_are_disjoint() -> None:
    splits = make_data.make_splits(300, 60, seed=0)
    prompts = [problem.prompt for split in splits.values() for problem in split]
    assert len(prompts) == len(set(prompts)) == 360
