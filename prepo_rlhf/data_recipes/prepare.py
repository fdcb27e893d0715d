"""A recipe carried out: its files as texts, and the report of what was dropped and why.

Boundary: writes nothing; `writing` does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.data_recipes.cleaning import REASONS, Cleaned, Distinct, clean, readable_answers
from prepo_rlhf.data_recipes.origin import Origin, origin
from prepo_rlhf.data_recipes.recipes import RECIPES, Recipe
from prepo_rlhf.evaluation.benchmarks import Problem, problem_of
from prepo_rlhf.prompts.values import BadField, BadRows, repeated
from prepo_rlhf.rewards.extraction import gold_answer

HELD_OUT = 200


@dataclass(frozen=True)
class Prepared:
    """What a recipe writes: texts by the names of their files, and the lines of its table."""

    files: dict[str, str]
    table: list[tuple[str, int]]


def prepare(name: str, given: str | None, held_out: int | None, seed: int) -> Prepared:
    """The files of the recipe `name`, from the file or folder `given` or else from the hub.

    `held_out` of the training problems, HELD_OUT where it is None, go into a file of their own; `seed` chooses them.
    Raises ConfigError for whatever stands in the way.
    """
    recipe = RECIPES[name]
    source = origin(recipe, given)
    if not recipe.is_benchmark:
        return _training_files(recipe, name, source, HELD_OUT if held_out is None else held_out, seed)
    if held_out is not None:
        raise ConfigError(f"--held_out {held_out}: {name} is a benchmark, which stays whole; leave the option out")
    return _benchmark_file(recipe, source)


def _training_files(recipe: Recipe, name: str, source: Origin, held_out: int, seed: int) -> Prepared:
    cleaned = clean(recipe, name, source)
    if not 0 <= held_out < len(cleaned.kept):
        raise ConfigError(f"--held_out {held_out}: of {len(cleaned.kept)} problems, take from 0 to all but one")
    chosen = set(random.Random(seed).sample(range(len(cleaned.kept)), held_out))
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "held_out": []}
    for number, problem in enumerate(cleaned.kept):
        parts["held_out" if number in chosen else "train"].append(problem.row())
    table = [
        ("rows read", cleaned.num_read),
        *((reason, -cleaned.dropped[reason]) for reason in REASONS),
        ("problems left", len(cleaned.kept)),
        *((part.replace("_", " "), len(rows)) for part, rows in parts.items()),
        ("an instruction around the question was removed in", cleaned.num_with_instruction),
    ]
    report = {
        "name": name,
        "source": source.name,
        "rows_read": cleaned.num_read,
        "dropped": {reason: cleaned.dropped[reason] for reason in REASONS},
        "problems": len(cleaned.kept),
        **{part: len(rows) for part, rows in parts.items()},
        "seed": seed,
        "instruction_removed": cleaned.num_with_instruction,
        **_examples(cleaned),
    }
    files = {f"{recipe.stem}_{part}.jsonl": _lines(rows) for part, rows in parts.items() if rows}
    return Prepared(files | _report_file(recipe, report), table)


def _examples(cleaned: Cleaned) -> dict[str, Any]:
    """All problems that were dropped for their answers, with where they are found."""

    def told(one: Distinct) -> dict[str, Any]:
        return {"first_at": one.place, "copies": one.copies, "question": one.question, "answer": one.answer}

    return {
        "contradicting_answers": [[told(one) for one in group] for group in cleaned.conflicts],
        "unreadable_answers": [told(one) for one in cleaned.unreadable],
    }


def _benchmark_file(recipe: Recipe, source: Origin) -> Prepared:
    """All problems with evaluation's columns, and those of a training job beside them."""
    problems, places, bad = [], [], BadRows()
    for number, (place, row) in enumerate(source.rows):
        places.append(place)
        try:
            problems.append(problem_of(row, number, recipe.data.keys, by_name=True))
        except BadField as fault:
            bad.add(place, fault)
    if not places:
        raise ConfigError(f"{source.told}: there are no rows")
    bad.check(len(places), source.told)
    rows = [_benchmark_row(recipe, problem) for problem in problems]
    num_repeated = len(repeated([problem.question for problem in problems], places))
    answers = [gold_answer(problem.gold) for problem in problems]
    unreadable = [number for number, readable in enumerate(readable_answers(answers)) if not readable]
    report = {
        "name": recipe.data.name,
        "source": source.name,
        "rows_read": len(rows),
        "dropped": {},
        "problems": len(rows),
        "repeated_questions": num_repeated,
        "unreadable_answers": [{"first_at": places[number], "answer": answers[number]} for number in unreadable],
    }
    table = [
        ("rows read, and kept: a benchmark stays whole", len(rows)),
        ("of them with the question of an earlier row", num_repeated),
        ("of them with an answer that the verifier cannot read", len(unreadable)),
    ]
    return Prepared({f"{recipe.stem}.jsonl": _lines(rows)} | _report_file(recipe, report), table)


def _benchmark_row(recipe: Recipe, problem: Problem) -> dict[str, Any]:
    keys = recipe.data.keys
    values = {keys.id: problem.id, keys.subject: problem.subject, keys.level: problem.level}
    columns = {key: value for key, value in values.items() if key is not None}
    columns |= {keys.question: problem.question, keys.answer: problem.gold}
    return columns | {"prompt": problem.question, "answer": problem.gold, "datasource": recipe.data.name}


def _lines(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _report_file(recipe: Recipe, report: dict[str, Any]) -> dict[str, str]:
    return {f"{recipe.stem}_report.json": json.dumps(report, ensure_ascii=False, indent=2) + "\n"}
