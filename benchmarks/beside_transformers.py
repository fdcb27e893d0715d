"""Greedy answers of `eval_math` beside those of plain transformers: the same prompts, problem by problem, one verifier.

    python benchmarks/beside_transformers.py --model MODEL --benchmarks gsm8k --limit 200 --n 1 --temperature 0 \\
        --max_new_tokens 256 --param_dtype fp32 --output_dir runs/greedy

The options are eval_math's, whose results stay in --output_dir. Two programs that add the same numbers in another order
part where two tokens are about equally probable, so for each problem whose texts part, the distance of the two best
logits at that place is told.
Boundary: prompts and what ends a response come from the evaluation; transformers generates without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import torch
import tyro
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

from prepo_rlhf.config.arguments import understood
from prepo_rlhf.config.option_names import option_types
from prepo_rlhf.evaluation.options import BenchmarkOptions, check
from prepo_rlhf.evaluation.runner import prepare, run
from prepo_rlhf.evaluation.sample_log import read_samples
from prepo_rlhf.evaluation.table import markdown_table
from prepo_rlhf.evaluation.tasks import Task
from prepo_rlhf.rewards.math_reward import grade_math

BATCH = 16
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


class Generated(NamedTuple):
    """A response: its tokens, and at each the distance of the best logit from the second (nats)."""

    tokens: list[int]
    gaps: list[float]


def batches(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Tasks of similar length together."""
    ordered = sorted(tasks, key=lambda task: len(task.token_ids))
    for start in tqdm(range(0, len(ordered), BATCH), desc="transformers", file=sys.stderr):
        yield ordered[start : start + BATCH]


@torch.no_grad()
def generate(model: Any, members: Sequence[Task], ends: Sequence[int]) -> list[Generated]:
    """The most probable token again and again, until one of `ends`, which is left out."""
    longest = max(len(task.token_ids) for task in members)
    padding = [longest - len(task.token_ids) for task in members]
    ids = torch.tensor([[ends[0]] * pad + task.token_ids for pad, task in zip(padding, members, strict=True)])
    output = model.generate(
        ids, attention_mask=torch.arange(longest) >= torch.tensor(padding)[:, None], do_sample=False,
        max_new_tokens=max(task.max_new_tokens for task in members), eos_token_id=list(ends), pad_token_id=ends[0],
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    best = torch.stack([logits.float().topk(2).values for logits in output.logits], dim=1)
    gaps = best[..., 0] - best[..., 1]
    made = []
    for row, task, distance in zip(output.sequences[:, longest:].tolist(), members, gaps.tolist(), strict=True):
        length = next((place for place, token in enumerate(row) if token in ends), len(row))
        made.append(Generated(row[: min(length, task.max_new_tokens)], distance))
    return made


def gap_where_they_part(one: Generated, text: str, tokenizer: Any) -> float:
    """The distance of the two best logits at the first token of `one` that is not the beginning of `text`."""
    for place in range(len(one.tokens)):
        if not text.startswith(tokenizer.decode(one.tokens[: place + 1])):
            return one.gaps[place]
    return one.gaps[min(len(one.tokens), len(one.gaps) - 1)]  # it ended, and the other went on


def compare(options: BenchmarkOptions) -> str:
    """The table of both sides, after the evaluation has been run or gone on with."""
    run(options)
    rows = {key: samples[0] for key, samples in read_samples(Path(options.output_dir)).items()}
    _, tasks, stops = prepare(options)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    torch.set_num_threads(os.cpu_count() or 1)  # the evaluation may have left one
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=DTYPES[options.param_dtype]).eval()
    made: dict[Any, Generated] = {}
    for members in batches(tasks):
        made |= dict(zip([task.key for task in members], generate(model, members, stops.token_ids), strict=True))
    table = []
    for benchmark in dict.fromkeys(task.benchmark for task in tasks):
        keys = [task.key for task in tasks if task.benchmark == benchmark]
        texts = {key: tokenizer.decode(made[key].tokens) for key in keys}
        ends = [tokenizer.decode([token]) for token in stops.token_ids]
        theirs = {key: _without_end(rows[key]["response"], ends) for key in keys}
        grades = grade_math([texts[key] for key in keys], [rows[key]["gold"] for key in keys])
        right = {key: bool(grade.correct) for key, grade in zip(keys, grades, strict=True)}
        parted = [key for key in keys if texts[key] != theirs[key]]
        gaps = [gap_where_they_part(made[key], theirs[key], tokenizer) for key in parted]
        table.append([
            benchmark, str(len(keys)), f"{fmean(rows[key]['score'] >= 1 for key in keys):.3f}",
            f"{fmean(right.values()):.3f}", str(len(keys) - len(parted)),
            str(sum(right[key] != (rows[key]["score"] >= 1) for key in keys)),
            f"{median(gaps):.2g}, {max(gaps):.2g}" if gaps else "none parted",
        ])  # fmt: skip
    header = ["benchmark", "problems", "eval_math", "transformers", "same text", "graded apart", "gap: median, largest"]
    return markdown_table(header, table)


def _without_end(text: str, ends: Sequence[str]) -> str:
    for end in ends:
        text = text.removesuffix(end)
    return text


def main() -> None:
    arguments = understood(sys.argv[1:], option_types(BenchmarkOptions))
    options = tyro.cli(BenchmarkOptions, prog="beside_transformers.py", args=arguments, use_underscores=True)
    check(options)
    if options.temperature or options.reward != "math" or options.stops:
        sys.exit("give --temperature 0 --n 1, and neither --reward nor --stop: greedy answers are compared")
    print(compare(options))


if __name__ == "__main__":
    main()
