"""A training job from its options to the saved model: checks, Ray, actors, control loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from signal import Signals
from typing import TYPE_CHECKING, Any

from prepo_rlhf import backends
from prepo_rlhf.backends import paths
from prepo_rlhf.backends.announce import announced
from prepo_rlhf.backends.launch import ray, ray_runs, set_environment, start_ray
from prepo_rlhf.backends.lean_imports import collector_at_rest
from prepo_rlhf.cluster import nodes
from prepo_rlhf.cluster.places import check_cluster, reserve_places
from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.trainer.engines_ahead import EnginesAhead
from prepo_rlhf.trainer.restarts import Restarts
from prepo_rlhf.trainer.stopped import PartDied, TrainingStopped

if TYPE_CHECKING:
    from prepo_rlhf.cluster.places import Places
    from prepo_rlhf.selection.base import Candidate
    from prepo_rlhf.trainer.preflight import Prepared

MakeScorer = Callable[[Config, Any], "Callable[[list[Candidate]], list[float]]"]
"""Options and actors -> what gives each candidate the number that selectors rank by."""


def perplexity_scorer(config: Config, fleet: Any) -> Callable[[list[Candidate]], list[float]]:
    """Prompt perplexities under the current policy, from the engines or the policy (`--prepo.score_with`)."""
    from prepo_rlhf.rollout.scoring import PromptScorer, engine_log_probs, policy_log_probs

    if config.prepo.score_with == "rollout":
        return PromptScorer(partial(engine_log_probs, fleet.calls))
    return PromptScorer(partial(policy_log_probs, fleet.policy, config.rollout.micro_batch_size))


def run(config: Config, make_scorer: MakeScorer = perplexity_scorer) -> Signals | None:
    """Train as `config` says; `make_scorer` may put another score in the place of candidates' perplexity.

    Returns:
        None when training has come to its end, now or in an earlier start, and the model is saved; the signal that
        stopped it before, with all steps saved.
    Raises:
        ConfigError: before anything heavy is started, if the job cannot work.
        TrainingStopped: something broke on the way; the message says what to go on from.
    """
    set_environment(config)
    joins = ray_runs(config)
    with EnginesAhead(config, joins) as ahead:
        prepared = _prepare(config)
        if prepared.start.finished:
            return None
        if not joins:
            start_ray(prepared.start.config)
        restarts = Restarts(config)
        while True:
            try:
                return _train(prepared, make_scorer, restarts, ahead)
            except PartDied as fault:
                restarts.allow(fault)
                prepared = _prepared_again(prepared)


def _train(
    prepared: Prepared, make_scorer: MakeScorer, restarts: Restarts, ahead: EnginesAhead
) -> Signals | None:
    """Start the actors and run what is left; when more than an engine dies, end them all and raise PartDied."""
    config = prepared.start.config
    with announced("Loading vLLM"), collector_at_rest():
        from prepo_rlhf.ray import placement

    places, engines = ahead.take() or (_reserve(config, restarts), [])
    with paths.needed_on_all_nodes(config) as files:
        nodes.check_files(files, places.groups())
    with announced("Loading the trainer"), collector_at_rest():
        fleet = placement.create_fleet(config, places, engines)
        from prepo_rlhf.files.run_start import make_way
        from prepo_rlhf.ray.engine_successor import EngineSuccessor
        from prepo_rlhf.ray.faults import Faults, RayError, reason
        from prepo_rlhf.ray.parts import Parts
        from prepo_rlhf.ray.strategy import make_strategy
        from prepo_rlhf.rollout.scoring import entropy_scorer
        from prepo_rlhf.rollout.sync_async import make_schedule
        from prepo_rlhf.selection.prompt_stream import PromptStream
        from prepo_rlhf.trainer.hang_watch import HangWatch
        from prepo_rlhf.trainer.trainer import Trainer

    strategy = make_strategy(config)
    parts = Parts(fleet.actors)
    faults = Faults(fleet.actors(), parts.ended)
    schedule = make_schedule(config, fleet.engines)
    stream = PromptStream(
        prepared.train.prompts, prepared.selector, config.prepo.candidate_batch_size, config.rollout.batch_size,
        config.train.num_episodes, config.train.seed, schedule.with_steady_weights(make_scorer(config, fleet)),
        entropy_scorer(fleet.policy, config.rollout.micro_batch_size),
    )  # fmt: skip
    try:
        with HangWatch(config, parts) as watch:
            make_way(prepared.start)
            try:
                with watch.during("loading the models"), announced("Loading the models into policy and engines"):
                    load_models(config, strategy, fleet, stream.total_draws)
                trainer = Trainer(config, strategy, fleet, prepared, stream, schedule, faults, watch, restarts)
            except RayError as error:
                why = faults.describe(error)
                message = f"the job's models could not be loaded: {why}"
                if not faults.part_died(error, why):
                    raise TrainingStopped(message) from error
                raise PartDied(message, prepared.start.step, why) from error
            restarts.recovered(prepared.start.step)
            if restarts.allowed:
                succeed = EngineSuccessor(config, fleet, places, faults, trainer.steps_done, restarts.engine_replaced)
                fleet.calls.replace_dead_engines(succeed)
            return trainer.fit()
    except PartDied as fault:
        try:
            placement.end_fleet(fleet, places)
        except Exception as error:  # of whatever kind: nothing can be ended or started
            message = f"{fault}. Ray itself is gone ({reason(error)})"
            raise PartDied(message, fault.step, fault.why, for_good=True) from fault
        raise


def _prepare(config: Config) -> Prepared:
    """What is checked before anything heavy starts, and what was found, printed."""
    with announced("Loading OpenRLHF"), collector_at_rest():
        backends.activate()
        from prepo_rlhf.trainer import preflight, wandb_log

    with announced("Checking data, reward and model"):
        prepared = preflight.prepare(wandb_log.log_in(config))
    if not prepared.start.finished:
        for name, data in (("training", prepared.train), ("evaluation", prepared.evaluation)):
            if data is not None:
                print(f"{len(data)} {name} prompts; left out because they do not fit: {data.num_left_out}", flush=True)
        print(f"responses end with {prepared.stops.described(prepared.tokenizer)}", flush=True)
    return prepared


def _prepared_again(prepared: Prepared) -> Prepared:
    """What a broken job goes on from: its newest whole checkpoint, and a selector that has seen nothing."""
    from prepo_rlhf.files.run_start import find_start
    from prepo_rlhf.selection.registry import make_selector

    config = prepared.start.config.replaced({"ckpt.load_enable": True})
    return replace(prepared, start=find_start(config), selector=make_selector(config.prepo, config.train.seed))


def _reserve(config: Config, restarts: Restarts) -> Places:
    """The places of the job's actors; after a fault its nodes are waited for."""
    with announced("Reserving GPUs"):
        try:
            check_cluster(config, 60 * config.train.wait_for_nodes if restarts.recovering else 0)
        except ConfigError as error:
            if not restarts.recovering:
                raise
            raise PartDied(f"the places of the job have not come back: {error}", restarts.step, str(error)) from error
        return reserve_places(config)


def load_models(config: Config, strategy: Any, fleet: Any, total_steps: int) -> None:
    """Load policy, reference model and engines, all at once, and wait for them."""
    updates_per_step = config.rollout.batch_size * config.rollout.n_samples_per_prompt // config.train.batch_size
    path = config.actor.model_name_or_path
    calls = fleet.policy.async_init_model_from_pretrained(
        strategy, path, total_steps * updates_per_step * config.train.max_epochs, fleet.engines
    )
    if fleet.reference is not None:
        calls += fleet.reference.async_init_model_from_pretrained(strategy, path)
    calls += [engine.check_alive.remote() for engine in fleet.engines]
    ray.get(calls)
