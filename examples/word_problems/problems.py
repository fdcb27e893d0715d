r"""Makes the word problems' files: train.jsonl, held_out.jsonl and warm_up.jsonl, and report.json of what was left out.

    python examples/word_problems/problems.py --output_dir ./word_problems_data --from FOLDER --without asdiv

SVAMP, ASDiv and MAWPS, from the hub or from copies in one folder, become one set: body and question one text, answers
one number each. A problem that several rows have stays once, and is in one of the files only. Keys: prompt, answer,
datasource, source, kind (the source's own word), and in warm_up.jsonl `response`, such as
"14+6=20. The answer is \boxed{20}.", of problems whose source states the sum.
Boundary: cleaning and reading are `prepo_rlhf.data_recipes`; here are the columns of the three sources, and the split.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.data_recipes.cleaning import REASONS, Cleaned, clean
from prepo_rlhf.data_recipes.origin import Origin, local_copy, origin
from prepo_rlhf.data_recipes.recipes import Recipe
from prepo_rlhf.data_recipes.writing import write_files
from prepo_rlhf.evaluation.benchmarks import Benchmark, Keys
from prepo_rlhf.rewards.equivalence import Unparsable, equivalent

NAME = "word_problems"
HELD_OUT, WARM_UP = 240, 480
_NUMBER = re.compile(r"(-?(?:\d[\d,]*)?\.?\d+)(?:\s*\([^()]*\))?")  # ASDiv's unit follows in brackets
_TRAILING_ZEROS = re.compile(r"(?<=\d)\.0+(?!\d)")
_SUM = re.compile(r"[\d.()]+[-+*/][-+*/\d.()]+")


class Problem(NamedTuple):
    """A problem of any source; `answer` is one number, `formula` what the source says leads to it, if anything."""

    prompt: str
    answer: str
    source: str
    kind: str
    formula: str


class Columns(NamedTuple):
    """A row's values as its source has them."""

    question: str
    answer: Any
    kind: str = ""
    formula: str = ""


def _svamp(row: dict[str, Any]) -> Columns:
    return Columns(joined(row["Body"], row["Question"]), row["Answer"], row["Type"], row["Equation"])


def _asdiv(row: dict[str, Any]) -> Columns:
    return Columns(joined(row["body"], row["question"]), row["answer"], row["solution_type"], row["formula"])


def _mawps(row: dict[str, Any]) -> Columns:
    """Of a copy with `input` and `target`, or of the hub's, which has other columns."""
    if "input" in row:
        return Columns(row["input"].strip(), row["target"], row.get("type", ""))
    return Columns(row["question"].strip(), row["result"])


def _recipe(name: str, dataset: str, split: str) -> Recipe:
    return Recipe(Benchmark(name, dataset, None, split, Keys()), False, (name,))


# Those that state their equation come first: of copies the first one stays.
SOURCES: dict[str, tuple[Recipe, Callable[[dict[str, Any]], Columns]]] = {
    "svamp": (_recipe("svamp", "ChilleD/SVAMP", "train+test"), _svamp),
    "asdiv": (_recipe("asdiv", "EleutherAI/asdiv", "validation"), _asdiv),
    "mawps": (_recipe("mawps", "MU-NLPC/Calc-mawps", "train+validation+test"), _mawps),
}


def joined(body: str, question: str) -> str:
    """Body and question as one text: a full stop between them where the body ends without a mark."""
    body, question = body.strip(), question.strip()
    return f"{body}{'' if not body or body[-1] in '.?!,;:' else '.'} {question}".strip()


def one_number(answer: Any) -> str | None:
    """The answer as the shortest decimal: 145.0 is "145", "9 (apples)" is "9"; None for what is no single number."""
    found = _NUMBER.fullmatch(str(answer).strip())
    return f"{Decimal(found[1].replace(',', '')).normalize():f}" if found else None


def equation(formula: str, answer: str) -> str | None:
    """ "( 14.0 + 6.0 )" and "14 + 6 = 20" as "14+6=20"; None for what is no sum of plain numbers, or another's."""
    left = _TRAILING_ZEROS.sub("", re.sub(r"\s", "", formula)).partition("=")[0]
    try:
        if not _SUM.fullmatch(left) or not equivalent(left, answer):
            return None
    except Unparsable:
        return None
    return f"{_without_outer_brackets(left)}={answer}"


def _without_outer_brackets(text: str) -> str:
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if not depth:  # where the first bracket closes, or at once
            return text[1:-1] if position and position == len(text) - 1 else text
    return text


def read_problems(names: Sequence[str], folder: str | None, read: dict[str, Any]) -> Iterator[tuple[str, Problem]]:
    """Every problem with its place, as "svamp, line 7". What is read and what is no number is counted in `read`, by
    source. Raises ConfigError for a source that is not to be had, or rows without the source's columns."""
    for name in names:
        recipe, columns_of = SOURCES[name]
        source = _origin(recipe, folder)
        counts = read[name] = {"from": source.name, "rows": 0, "answer is no single number": 0}
        for place, row in source.rows:
            counts["rows"] += 1
            try:
                columns = columns_of(row)
            except (KeyError, AttributeError) as error:
                raise ConfigError(f"{source.told}: {place} is no row of {name} ({error!r})") from error
            answer = one_number(columns.answer)
            if answer is None:
                counts["answer is no single number"] += 1
                continue
            yield f"{name}, {place}", Problem(columns.question, answer, name, columns.kind, columns.formula)


def _origin(recipe: Recipe, folder: str | None) -> Origin:
    """The hub, or in the folder a copy of the file (svamp.jsonl) or of the hub's folder (SVAMP)."""
    if folder is None:
        return _of_hub(recipe)
    hub_folder = Path(folder) / recipe.data.dataset.rpartition("/")[2]
    if copy := local_copy(recipe, Path(folder)):
        return origin(recipe, str(copy))
    if hub_folder.is_dir():
        return origin(recipe, str(hub_folder))
    name = recipe.data.name
    raise ConfigError(
        f"--from {folder}: there is neither a file {name}.jsonl (or .json, .csv, .parquet) nor a folder "
        f"{hub_folder.name} with a copy of {recipe.data.dataset}; add one, or give --without {name}"
    )


def _of_hub(recipe: Recipe) -> Origin:
    try:
        return origin(recipe, None)
    except ConfigError as error:
        raise ConfigError(
            f"{error}. Of several sources the folders lie side by side, and --from (DATA= of run.sh) names the one "
            "that they are in"
        ) from error


def prepare(names: Sequence[str], folder: str | None, seed: int) -> tuple[dict[str, str], dict[str, Any]]:
    """The texts of the files by name, and the report. Raises ConfigError for whatever stands in the way."""
    read: dict[str, Any] = {}
    by_place: dict[str, Problem] = {}

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        for place, problem in read_problems(names, folder, read):
            by_place[place] = problem
            yield place, problem._asdict()

    keys = Keys("prompt", "answer")
    cleaned = clean(Recipe(Benchmark(NAME, NAME, None, "", keys), False, ()), NAME, Origin(rows(), NAME, NAME))
    problems = [by_place[one.place] for one in cleaned.kept]
    parts = split(problems, seed)
    files = {f"{part}.jsonl": "".join(_line(one, part) for one in chosen) for part, chosen in parts.items()}
    report = _report(cleaned, read, problems, parts, seed)
    return files | {"report.json": json.dumps(report, ensure_ascii=False, indent=2) + "\n"}, report


def split(
    problems: Sequence[Problem], seed: int, held_out: int = HELD_OUT, warm_up: int = WARM_UP
) -> dict[str, list[Problem]]:
    """Each problem in one part: held out from all, the warm-up from those with an equation, the rest to train on.
    Raises ConfigError if there are too few."""
    shuffled = list(problems)
    random.Random(seed).shuffle(shuffled)
    rest = shuffled[held_out:]
    # Lazily: to tell whether an equation is true takes the verifier milliseconds.
    stated = (number for number, problem in enumerate(rest) if equation(problem.formula, problem.answer))
    with_equation = list(islice(stated, warm_up))
    if len(with_equation) < warm_up or len(rest) == warm_up:
        raise ConfigError(
            f"of {len(problems)} problems {held_out} are held out and {warm_up} with an equation are for the warm-up, "
            f"of which there are {len(with_equation)}; svamp and asdiv state theirs: leave fewer sources out"
        )
    chosen = set(with_equation)
    return {
        "train": [problem for number, problem in enumerate(rest) if number not in chosen],
        "held_out": shuffled[:held_out],
        "warm_up": [rest[number] for number in with_equation],
    }


def _line(problem: Problem, part: str) -> str:
    row = {"prompt": problem.prompt, "answer": problem.answer, "datasource": NAME}
    row |= {"source": problem.source, "kind": problem.kind}
    if part == "warm_up":
        row["response"] = rf"{equation(problem.formula, problem.answer)}. The answer is \boxed{{{problem.answer}}}."
    return json.dumps(row, ensure_ascii=False) + "\n"


def _report(
    cleaned: Cleaned, read: dict[str, Any], problems: Sequence[Problem], parts: dict[str, list[Problem]], seed: int
) -> dict[str, Any]:
    for name, counts in read.items():
        counts["problems left"] = sum(problem.source == name for problem in problems)
    return {
        "sources": read,
        "dropped": {reason: cleaned.dropped[reason] for reason in REASONS},
        "problems": len(problems),
        **{part: len(chosen) for part, chosen in parts.items()},
        "seed": seed,
        "contradicting_answers": [
            [{"at": one.place, "prompt": one.question, "answer": one.answer} for one in group]
            for group in cleaned.conflicts
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--from", dest="folder", help="folder with copies of all sources; without it, the hub")
    parser.add_argument("--without", nargs="*", choices=sorted(SOURCES), default=[], help="sources to leave out")
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args(arguments)
    try:
        files, report = prepare([name for name in SOURCES if name not in args.without], args.folder, args.seed)
        write_files(args.output_dir, files, overwrite=True)
    except ConfigError as error:
        print(f"problems.py: {error}", file=sys.stderr)
        return 2
    for name, counts in report["sources"].items():
        print(f"{name}: " + ", ".join(f"{what} {number}" for what, number in counts.items()))
    print("left out: " + ", ".join(f"{number} ({reason})" for reason, number in report["dropped"].items() if number))
    print(f"{args.output_dir}: " + ", ".join(f"{report[part]} {part}" for part in ("train", "held_out", "warm_up")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
