"""Judging a model by benchmarks: problems, prompts, samples from the rollout engines, tables; numbers in `metrics/`."""
