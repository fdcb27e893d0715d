"""How fast the math verifier grades, beside bare math-verify in one process on the same answers.

    python benchmarks/verifier_throughput.py --data_dir folder/of/benchmark/files --output verifier.json

Two numbers, each the median of several rounds in which the sides take turns: answers a second of the verifier as a job
has it (two workers, batches of 256) over those of bare math-verify; and what the pool adds to an answer, the verifier
with one worker against its own grading function called directly. Half of the answers are right.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from math_verify import parse, verify
from tqdm import tqdm
from training_step.tables import report

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.evaluation.benchmarks import BENCHMARKS, load_benchmark
from prepo_rlhf.rewards.extraction import gold_answer
from prepo_rlhf.rewards.grading import grade_response
from prepo_rlhf.rewards.verifier import MathVerifier

BATCH = 256
Answers = list[tuple[str, str]]  # response, gold


def make_answers(data_dir: str, count: int, seed: int = 0) -> Answers:
    """Responses to problems of all five benchmarks, as many of each: alternately with their own gold and another's."""
    draw = random.Random(seed)
    golds = {name: [gold_answer(problem.gold) for problem in load_benchmark(name, data_dir)] for name in BENCHMARKS}
    answers = []
    for number in range(count):
        own, other = draw.sample(golds[draw.choice(list(golds))], 2)
        answers.append((rf"Adding up, we find $\boxed{{{other if number % 2 else own}}}$.", own))
    return answers


def bare(answers: Answers) -> None:
    """math-verify as its documentation calls it, with its own time limits."""
    for response, gold in answers:
        verify(parse(rf"\boxed{{{gold}}}"), parse(response))


def direct(answers: Answers) -> None:
    """The verifier's grading function in this process."""
    options = MathOptions()
    for response, gold in answers:
        grade_response(response, gold, options.extraction, options.max_answer_length)


def pooled(verifier: MathVerifier) -> Callable[[Answers], None]:
    """The verifier's batches, one after the other."""

    def grade(answers: Answers) -> None:
        for start in range(0, len(answers), BATCH):
            responses, golds = zip(*answers[start : start + BATCH], strict=True)
            verifier.grade(responses, golds)

    return grade


def seconds(function: Callable[[Answers], None], answers: Answers) -> float:
    start = time.perf_counter()
    function(answers)
    return time.perf_counter() - start


def measure(data_dir: str, count: int, pairs: int) -> dict[str, float]:
    """Medians over `pairs` rounds; each round has answers of its own, so that no cache has seen them."""
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    rows: list[dict[str, float]] = []
    with MathVerifier(MathOptions(num_workers=2)) as two, MathVerifier(MathOptions(num_workers=1)) as one:
        functions = {"bare": bare, "two_workers": pooled(two), "direct": direct, "one_worker": pooled(one)}
        for warm_up in (two, one):
            warm_up.grade([r"\boxed{\frac12}"] * 8, ["0.5"] * 8)
        for number in tqdm(range(pairs), unit="round"):
            answers = make_answers(data_dir, count, seed=number)
            rows.append({name: seconds(function, answers) for name, function in functions.items()})
    return {
        "bare_per_second": median(count / row["bare"] for row in rows),
        "verifier_per_second": median(count / row["two_workers"] for row in rows),
        "ratio": median(row["bare"] / row["two_workers"] for row in rows),
        "pool_overhead_ms": median(1000 * (row["one_worker"] - row["direct"]) / count for row in rows),
        "overhead_beyond_bare_ms": median(1000 * (row["one_worker"] - row["bare"]) / count for row in rows),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--count", type=int, default=4 * BATCH)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    report("measure", {"value": measure(arguments.data_dir, arguments.count, arguments.pairs)}, arguments)


if __name__ == "__main__":
    main()
