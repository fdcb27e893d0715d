"""Word problems of modular arithmetic, with two independent axes of difficulty: number of steps and rarity of wording.

A problem tells a start value and one to six operations modulo 10; its answer is the chain of running values and the
result: `7 apples gains 5 (a) loses 3 (b):` is answered by ` (a)7+5=2, (b)2-3=9,#9`.
Boundary: pure Python; knows nothing of tokenizers, models or rewards.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

MAX_STEPS = 6
EVENLY = (1,) * MAX_STEPS
SEPARATORS = (",", ";", "/", "|")
# The same mark after an operation and before its step in the answer lets a small model find the operation. (A mark
# before the operation misled it at the last one, whose operand no further mark follows.)
MARKERS = tuple(f" ({letter})" for letter in "abcdef")

# One line a band, from common to rare: nouns | verbs that add | verbs that subtract | doubles | triples.
_WORDING = """
apples coins books     | gains finds       | loses spends       | doubles     | triples
stones shells cards    | gets adds         | drops gives        | twins       | trebles
candles ribbons keys   | collects earns    | donates misplaces  | pairs       | triplicates
lanterns acorns marbles| gathers receives  | discards forfeits  | duplicates  | thirds
thimbles pebbles quills| acquires obtains  | sheds surrenders   | mirrors     | trines
goblets tassels spools | procures amasses  | relinquishes cedes | replicates  | braids
trinkets tokens florins| accrues hoards    | squanders expends  | reflects    | trivets
amulets doubloons urns | garners gleans    | bestows jettisons  | echoes      | trisects
talismans ducats vials | accumulates reaps | forgoes dispenses  | geminates   | ternates
sextants farthings orbs| annexes musters   | abdicates remits   | conduplicates | tertiates
astrolabes groats runes| appends levies     | disburses alienates| bifolds     | trifolds
sigils obols phials    | accretes arrogates| dissipates abjures | ingeminates | triplexes
"""


@dataclass(frozen=True)
class Wording:
    """The words of one rarity band."""

    nouns: tuple[str, ...]
    add: tuple[str, ...]
    subtract: tuple[str, ...]
    double: tuple[str, ...]
    triple: tuple[str, ...]


BANDS = tuple(
    Wording(*(tuple(part.split()) for part in line.split("|"))) for line in _WORDING.strip().splitlines()
)


@dataclass(frozen=True)
class Problem:
    """A prompt and its answer: the chain of steps and the result."""

    prompt: str
    answer: str
    steps: int
    band: int

    @property
    def label(self) -> str:
        """What the reward compares with: the canonical answer."""
        return self.answer


@dataclass(frozen=True)
class Corpus:
    """How the base model's training text is distributed.

    `step_ratio` and `band_ratio` are the ratios of the two geometric distributions; a share `direct` of the answers has
    no chain; a step of band b goes wrong with probability `slip + slip_per_band * b`.
    """

    step_ratio: float = 0.62
    band_ratio: float = 0.75
    direct: float = 0.1
    slip: float = 0.02
    slip_per_band: float = 0.03


@dataclass(frozen=True)
class _Operation:
    symbol: str
    operand: int
    phrase: str

    def apply(self, value: int) -> int:
        return {"+": value + self.operand, "-": value - self.operand, "*": value * self.operand}[self.symbol] % 10


def sample_problem(steps: int, band: int, rng: random.Random) -> Problem:
    """A random problem of `steps` operations (1 to 6) in the words of `band` (0, common, to 11, rare)."""
    start, noun, operations = _draw(steps, band, rng)
    return Problem(_prompt(start, noun, operations), SEPARATORS[0].join(_chain(start, operations)), steps, band)


def sample_problems(
    count: int, rng: random.Random, exclude: Collection[str] = (), step_weights: Sequence[int] = EVENLY
) -> list[Problem]:
    """`count` problems with different prompts, none in `exclude`, spread evenly over bands, shuffled.

    Args:
        step_weights: how often problems of 1, 2, ... steps come, relative to each other.
    """
    steps_drawn = [steps for steps, weight in enumerate(step_weights, start=1) for _ in range(weight)]
    cells = [(steps, band) for steps in steps_drawn for band in range(len(BANDS))]
    rng.shuffle(cells)
    taken, problems = set(exclude), []
    while len(problems) < count:
        problem = sample_problem(*cells[len(problems) % len(cells)], rng)
        if problem.prompt not in taken:
            taken.add(problem.prompt)
            problems.append(problem)
    rng.shuffle(problems)
    return problems


def sample_corpus(corpus: Corpus, rng: random.Random) -> tuple[str, str]:
    """A (prompt, answer) pair of the base model's corpus, where answers may be sloppy, direct, and vary in style."""
    steps = 1 + _geometric(corpus.step_ratio, MAX_STEPS, rng)
    band = _geometric(corpus.band_ratio, len(BANDS), rng)
    start, noun, operations = _draw(steps, band, rng)
    if rng.random() < corpus.direct:
        return _prompt(start, noun, operations), _chain(start, operations)[-1]
    parts = _chain(start, operations, rng, corpus.slip + corpus.slip_per_band * band)
    answer = "".join(part + rng.choice(SEPARATORS) for part in parts[:-1]) + parts[-1]
    return _prompt(start, noun, operations), answer


def _geometric(ratio: float, size: int, rng: random.Random) -> int:
    return rng.choices(range(size), [ratio**i for i in range(size)])[0]


def _draw(steps: int, band: int, rng: random.Random) -> tuple[int, str, list[_Operation]]:
    wording = BANDS[band]
    return rng.randrange(10), rng.choice(wording.nouns), [_operation(wording, rng) for _ in range(steps)]


def _operation(wording: Wording, rng: random.Random) -> _Operation:
    symbol = rng.choice("++--*")
    if symbol == "*":
        factor, verbs = rng.choice(((2, wording.double), (3, wording.triple)))
        return _Operation(symbol, factor, rng.choice(verbs))
    operand = rng.randint(1, 9)
    verb = rng.choice(wording.add if symbol == "+" else wording.subtract)
    return _Operation(symbol, operand, f"{verb} {operand}")


def _prompt(start: int, noun: str, operations: list[_Operation]) -> str:
    steps = (f" {operation.phrase}{marker}" for marker, operation in zip(MARKERS, operations, strict=False))
    return f"{start} {noun}{''.join(steps)}:"


def _chain(start: int, operations: list[_Operation], rng: random.Random | None = None, slip: float = 0.0) -> list[str]:
    """The steps and the result; a slip replaces a running value by another digit, and the chain goes on from there."""
    value, parts = start, []
    for marker, operation in zip(MARKERS, operations, strict=False):
        result = operation.apply(value)
        if rng is not None and rng.random() < slip:
            result = (result + rng.randint(1, 9)) % 10
        parts.append(f"{marker}{value}{operation.symbol}{operation.operand}={result}")
        value = result
    return [*parts, f"#{value}"]
