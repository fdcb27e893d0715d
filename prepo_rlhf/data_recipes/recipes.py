"""Which data sets `prepo data` knows: where they are on the hub, what their columns are called, what they become.

Boundary: names only; nothing is read.
"""

from __future__ import annotations

from typing import NamedTuple

from prepo_rlhf.evaluation.benchmarks import BENCHMARKS, Benchmark, Keys


class Recipe(NamedTuple):
    """A data set: a benchmark, which stays whole, or training problems, which are cleaned and split."""

    data: Benchmark
    is_benchmark: bool
    copies: tuple[str, ...]
    """Usual names of a local copy, without suffix."""

    @property
    def stem(self) -> str:
        """What the names of the written files begin with; of a benchmark the whole, where evaluation looks for it."""
        return self.data.file or self.data.name if self.is_benchmark else self.data.name


def _training(data: Benchmark, *copies: str) -> Recipe:
    return Recipe(data, False, copies)


def _benchmark(name: str) -> Recipe:
    data = BENCHMARKS[name]
    return Recipe(data, True, tuple(dict.fromkeys((data.file or data.name, data.name))))


_DAPO_KEYS = Keys("prompt", "reward_model.ground_truth")
_MATH_KEYS = Keys("problem", "solution", subject="type", level="level")
RECIPES = {
    "dapo-math-17k": _training(
        Benchmark("dapo-math-17k", "BytedTsinghua-SIA/DAPO-Math-17k", None, "train", _DAPO_KEYS),
        *("dapo-math-17k", "dapo_math_17k"),
    ),
    "gsm8k": _training(Benchmark("gsm8k", "openai/gsm8k", "main", "train", Keys()), "gsm8k_train"),
    "math": _training(Benchmark("math", "DigitalLearningGmbH/MATH-lighteval", None, "train", _MATH_KEYS), "math_train"),
    "gsm8k-test": _benchmark("gsm8k"),
    **{name: _benchmark(name) for name in BENCHMARKS if name != "gsm8k"},
}
ALL_BENCHMARKS = "benchmarks"
"""The name of all benchmarks at once."""


def recipe_names(name: str) -> list[str]:
    """The recipes that a name stands for; none if it is no name."""
    if name == ALL_BENCHMARKS:
        return [known for known, recipe in RECIPES.items() if recipe.is_benchmark]
    return [name] if name in RECIPES else []
