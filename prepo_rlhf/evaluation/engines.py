"""Samples from the rollout engines of training, without a policy: start, work queue, shutdown.

Boundary: prompts in, graded responses out; knows no files.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from prepo_rlhf import backends
from prepo_rlhf.backends.announce import announced
from prepo_rlhf.backends.launch import apply_backend, ray, start_ray
from prepo_rlhf.config import Config, GivenConfig, resolve
from prepo_rlhf.evaluation.options import BenchmarkOptions
from prepo_rlhf.evaluation.stopped import EvaluationStopped
from prepo_rlhf.evaluation.tasks import Task
from prepo_rlhf.prompts.stops import Stops

SEQUENCES_IN_FLIGHT = 1024  # requests queued at one engine: more than vLLM runs at a time, so that it is never idle


@contextmanager
def running_engines(options: BenchmarkOptions, max_len: int) -> Generator[list[Any]]:
    """Rollout engines for sequences of up to `max_len` tokens, on the Ray that is named or one of this process alone.
    What happens meanwhile is told on stderr, beside the progress.

    Raises:
        ConfigError: the cluster can never hold them.
        EvaluationStopped: one of them cannot start, or broke meanwhile.
    """
    config = _engine_config(options, max_len)
    with announced("Loading OpenRLHF", sys.stderr):
        apply_backend(config)
    needed = options.num_engines * options.tensor_parallel_size
    start_ray(config, logical_gpus=needed, stream=sys.stderr)
    engines: list[Any] = []
    with announced("Loading vLLM", sys.stderr):
        from prepo_rlhf.cluster.nodes import reserve
        from prepo_rlhf.cluster.places import check_bundles
        from prepo_rlhf.ray import placement
        from prepo_rlhf.ray.faults import Faults, RayError
    try:
        with announced("Starting the engines", sys.stderr):
            check_bundles(needed, options.tensor_parallel_size, "lower --num_engines")
            engines = placement.create_engines(config, reserve(1, needed))
            ray.get([engine.check_alive.remote() for engine in engines])
        yield engines
    except RayError as error:
        told = Faults({"rollout engine": engines}).describe(error).replace("--reward.remote_url", "--reward")
        raise EvaluationStopped(told) from error
    finally:
        ray.shutdown()


def sample(
    engines: Sequence[Any], tasks: Sequence[Task], stops: Stops, options: BenchmarkOptions
) -> Iterator[tuple[Task, list[dict[str, Any]]]]:
    """`--n` graded responses to each task, as `RolloutEngine.rollout` gives them, in the order in which they finish.

    A work queue: an engine gets the next problem as soon as it finishes one.
    """
    from prepo_rlhf.ray.requests import derived_seed, generation_params

    waiting = iter(tasks)
    calls: dict[ray.ObjectRef, tuple[Any, Task]] = {}

    def submit(engine: Any) -> None:
        task = next(waiting, None)
        if task is not None:
            seed = derived_seed(options.seed, task.benchmark, task.problem.id)
            params = generation_params(
                options.n, options.temperature, task.max_new_tokens, options.top_p, seed, stops=stops
            )
            calls[engine.rollout.remote(task.prompt, task.token_ids, task.problem.gold, params)] = engine, task

    for _ in range(max(1, SEQUENCES_IN_FLIGHT // options.n)):
        for engine in engines:
            submit(engine)
    while calls:
        (call,), _ = ray.wait(list(calls), num_returns=1)
        engine, task = calls.pop(call)
        submit(engine)
        yield task, ray.get(call)


def _engine_config(options: BenchmarkOptions, max_len: int) -> Config:
    """The options of a training job whose engines are the ones wanted here."""
    given = GivenConfig().replaced({
        "actor.model_name_or_path": options.model,
        "actor.trust_remote_code": options.trust_remote_code,
        "data.max_len": max_len,
        "ds.param_dtype": options.param_dtype,
        "train.seed": options.seed,
        "reward.remote_url": options.reward,
        "reward.math": options.math,
        "vllm.num_engines": options.num_engines,
        "vllm.tensor_parallel_size": options.tensor_parallel_size,
        "vllm.gpu_memory_utilization": options.gpu_memory_utilization,
        "vllm.engine_args": options.engine_args,
    })  # fmt: skip
    config = resolve(given, backends.this_machine(options.backend))
    # On a CPU a seed means the same at every restart only with the settings of full determinism. Set once the rest is
    # resolved, since it would also switch prefix caching off.
    return config.replaced({"train.full_determinism_enable": config.backend == "cpu"})
