"""Evaluation during training: the metrics of every data source, from rollouts of the engines.

Boundary: when and on what; the numbers are those of `metrics`, which benchmarks share.
"""

from __future__ import annotations

from collections import defaultdict

from prepo_rlhf.config import Config
from prepo_rlhf.metrics.summary import summarise
from prepo_rlhf.prompts.load import PromptSet
from prepo_rlhf.rollout.collector import RolloutCollector


class Evaluator:
    """Samples the evaluation prompts every `--eval.steps` steps, before the first step and after the last."""

    def __init__(self, config: Config, collector: RolloutCollector, data: PromptSet | None) -> None:
        self._config = config.eval
        self._collector = collector
        self._prompts = data.prompts if data is not None else []

    def due(self, step: int, last: bool) -> bool:
        """Whether the policy after `step` steps is to be evaluated."""
        return bool(self._prompts) and self._config.steps > 0 and (last or step % self._config.steps == 0)

    def __call__(self, step: int) -> dict[str, float]:
        """eval/<data source>/<metric> of the engines' weights, with those of `evaluation.metrics.summary.summarise`."""
        settings = self._config
        problems = self._collector.evaluate(self._prompts, settings.n_samples_per_prompt, settings.temperature, step)
        sources = defaultdict(list)
        for prompt, problem in zip(self._prompts, problems, strict=True):
            sources[prompt.datasource].append(problem)
        return {
            f"eval/{name}/{metric}": value
            for name, problems in sources.items()
            for metric, value in summarise(problems).items()
        }
