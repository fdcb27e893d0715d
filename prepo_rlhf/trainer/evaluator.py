"""Evaluation during training: avg@n and unbiased pass@k of every data source, from the rollout engines."""

from __future__ import annotations

from collections import defaultdict

from prepo_rlhf.config import Config
from prepo_rlhf.evaluation.pass_at_k import summarise
from prepo_rlhf.trainer.data import PromptData
from prepo_rlhf.trainer.rollouts import RolloutCollector


class Evaluator:
    """Samples the evaluation prompts every `--eval.steps` steps, before the first step and after the last."""

    def __init__(self, config: Config, collector: RolloutCollector, data: PromptData | None) -> None:
        self._config = config.eval
        self._collector = collector
        self._data = data

    def due(self, step: int, last: bool) -> bool:
        """Whether the policy after `step` steps is to be evaluated."""
        return self._data is not None and self._config.steps > 0 and (last or step % self._config.steps == 0)

    def __call__(self, step: int) -> dict[str, float]:
        """eval/<data source>/{avg@n, pass@k, response_length, truncated_ratio} of the engines' weights."""
        settings = self._config
        groups = self._collector.evaluate(self._data, settings.n_samples_per_prompt, settings.temperature, step)
        sources = defaultdict(list)
        for candidate, group in zip(self._data.candidates, groups, strict=True):
            sources[candidate.datasource].append(group)
        metrics = {}
        for name, source_groups in sources.items():
            rollouts = [rollout for group in source_groups for rollout in group]
            summary = summarise([[float(rollout.scores) for rollout in group] for group in source_groups])
            summary["response_length"] = sum(float(r.action_mask.sum()) for r in rollouts) / len(rollouts)
            summary["truncated_ratio"] = sum(float(r.truncated) for r in rollouts) / len(rollouts)
            metrics |= {f"eval/{name}/{key}": value for key, value in summary.items()}
        return metrics
