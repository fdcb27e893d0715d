"""Training problems without copies, without answers that contradict each other, and without unreadable answers.

Every row that is read is counted once: as kept, or under the reason why it is not.
Boundary: rows and problems in memory; the verifier's worker processes grade.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.data_recipes.origin import Origin
from prepo_rlhf.data_recipes.questions import same_problem_key, without_instruction
from prepo_rlhf.data_recipes.recipes import Recipe
from prepo_rlhf.evaluation.benchmarks import problem_of
from prepo_rlhf.prompts.values import BadField, BadRows, BadValue
from prepo_rlhf.rewards.extraction import gold_answer
from prepo_rlhf.rewards.notation import split

UNUSABLE = "no question or no answer"
SAME_TEXT = "the same text as an earlier row"
SAME_PROBLEM = "the same problem in other typesetting"
CONFLICT = "answers that contradict each other: all copies"
UNREADABLE = "an answer that the verifier cannot read"
REASONS = (UNUSABLE, SAME_TEXT, SAME_PROBLEM, CONFLICT, UNREADABLE)
_ANOTHER = "0"  # an answer to compare others with
_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+(?:and|or)\s+")
_SOURCE_KEYS = ("data_source", "datasource")


@dataclass
class Distinct:
    """Rows of the same question and the same answer: the first one, and how many there are."""

    question: str
    answer: str
    place: str
    others: dict[str, str]
    """What else is kept: datasource, subject, level."""
    copies: int = 1

    def row(self) -> dict[str, str]:
        """As a line of the written file."""
        return {"prompt": self.question, "answer": self.answer, **self.others}


@dataclass
class Cleaned:
    """What is kept, in the order of the data, and what is not."""

    kept: list[Distinct] = field(default_factory=list)
    num_read: int = 0
    num_with_instruction: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows by reason, one of REASONS."""
    conflicts: list[list[Distinct]] = field(default_factory=list)
    unreadable: list[Distinct] = field(default_factory=list)


def clean(recipe: Recipe, name: str, source: Origin) -> Cleaned:
    """The problems of training data. Raises ConfigError if there are no rows that are problems."""
    result = Cleaned()
    groups: dict[str, list[Distinct]] = defaultdict(list)
    for distinct in _distinct(recipe, name, source, result):
        groups[same_problem_key(distinct.question)].append(distinct)
    agreeing, readable = _judge(list(groups.values()))
    for number, group in enumerate(groups.values()):
        copies, texts = sum(one.copies for one in group), len({one.question for one in group})
        if not agreeing[number]:
            result.dropped[CONFLICT] += copies
            result.conflicts.append(group)
            continue
        result.dropped[SAME_TEXT] += copies - texts
        result.dropped[SAME_PROBLEM] += texts - 1
        if readable[group[0].answer]:
            result.kept.append(group[0])
        else:
            result.dropped[UNREADABLE] += 1
            result.unreadable.append(group[0])
    return result


def _distinct(recipe: Recipe, name: str, source: Origin, result: Cleaned) -> Iterator[Distinct]:
    """Rows of different questions or answers, each once; the copies are counted in them later on."""
    found: dict[tuple[str, str], Distinct] = {}
    bad = BadRows()
    for number, (place, row) in enumerate(source.rows):
        result.num_read += 1
        try:
            problem = problem_of(row, number, recipe.data.keys, by_name=True)
            question, answer = without_instruction(problem.question), gold_answer(problem.gold)
            if not question or not answer:
                raise BadField("the row", BadValue("has an empty question or answer"))
        except BadField as fault:
            result.dropped[UNUSABLE] += 1
            bad.add(place, fault)
            continue
        result.num_with_instruction += question != problem.question.strip()
        if earlier := found.get((question, answer)):
            earlier.copies += 1
            continue
        others = {"datasource": _data_source(row) or name, "subject": problem.subject, "level": problem.level}
        given = {key: value for key, value in others.items() if value is not None}
        found[question, answer] = Distinct(question, answer, place, given)
    if not result.num_read:
        raise ConfigError(f"{source.told}: there are no rows")
    if not found:
        bad.check(result.num_read, source.told)
    return iter(found.values())


def _data_source(row: dict[str, Any]) -> str | None:
    for key in _SOURCE_KEYS:
        if isinstance(value := row.get(key), str) and value:
            return value
    return None


def _judge(groups: Sequence[Sequence[Distinct]]) -> tuple[list[bool], dict[str, bool]]:
    """Whether the answers of each group agree, and which of the answers the verifier can read."""
    answers = list(dict.fromkeys(one.answer for group in groups for one in group))
    pairs = [(number, one.answer) for number, group in enumerate(groups) for one in group[1:]]
    differing = [(number, answer) for number, answer in pairs if answer != groups[number][0].answer]
    readable = dict(zip(answers, readable_answers(answers), strict=True))
    golds = [groups[number][0].answer for number, _ in differing]
    agreeing = [True] * len(groups)
    for (number, _), equal in zip(differing, _equal([answer for _, answer in differing], golds), strict=True):
        agreeing[number] &= equal
    return agreeing, readable


def readable_answers(answers: Sequence[str]) -> list[bool]:
    """Whether the verifier reads each answer as one: a number, a formula, a choice, a word, or a list of such.

    What it cannot read earns a reward only where a response has the very same text: compared with another answer, it is
    not even wrong. Lists of different lengths are unequal unread, so that each member is looked at by itself.
    """
    members = [split(answer, _SEPARATOR) for answer in answers]
    different = list(dict.fromkeys(member for parts in members for member in parts))
    statuses = _graded(different, [_ANOTHER] * len(different))
    readable = {member: status in ("correct", "wrong") for member, status in zip(different, statuses, strict=True)}
    return [all(readable[member] for member in parts) for parts in members]


def _equal(answers: Sequence[str], golds: Sequence[str]) -> list[bool]:
    return [status == "correct" for status in _graded(answers, golds)]


def _graded(answers: Sequence[str], golds: Sequence[str]) -> list[str]:
    from prepo_rlhf.rewards.math_reward import grade_math

    return [grade.status for grade in grade_math([rf"\boxed{{{answer}}}" for answer in answers], golds)]
