"""Evaluating a model on benchmarks: problems, prompts, samples from the rollout engines, tables."""
