"""Which GPUs a job asks of the cluster, and which actors share one: OpenRLHF's three layouts.

Separate GPUs, policy and reference model on the same (`--train.colocate_actor_ref`), everything on the same
(`--train.colocate_all`; with `--train.async_enable` the engines keep GPUs of their own).
Boundary: options alone; `prepo_rlhf.ray.placement` reserves what is counted here.
"""

from __future__ import annotations

from itertools import zip_longest

from prepo_rlhf.config.root import Config

Bundle = tuple[str, ...]
"""The actors on one GPU: "policy 0", "reference 0", "engine 0", the ranks of a tensor-parallel engine "engine 0.1"."""


def required_bundles(config: Config) -> int:
    """How many bundles of one GPU and one CPU a job asks of the cluster."""
    return sum(map(len, bundle_groups(config)))


def bundle_groups(config: Config) -> list[list[Bundle]]:
    """The placement groups of a job in the order in which they are reserved, each with its bundles."""
    policy = [f"policy {rank}" for rank in range(config.actor.num_nodes * config.actor.num_gpus_per_node)]
    reference = [f"reference {rank}" for rank in range(config.ref.num_nodes * config.ref.num_gpus_per_node)]
    if config.algo.kl.init_coef == 0:
        reference = []
    engines = _engine_ranks(config)
    if config.train.colocate_all and not config.train.async_enable:
        groups = [_share(policy, reference, engines)]
    elif config.train.colocate_all or config.train.colocate_actor_ref:
        groups = [_share(policy, reference), _share(engines)]
    else:
        groups = [_share(engines), _share(policy), _share(reference)]
    return [group for group in groups if group]


def _engine_ranks(config: Config) -> list[str]:
    size = config.vllm.tensor_parallel_size
    engines = range(config.vllm.num_engines)
    return [f"engine {engine}.{rank}" if size > 1 else f"engine {engine}" for engine in engines for rank in range(size)]


def _share(*roles: list[str]) -> list[Bundle]:
    return [tuple(filter(None, actors)) for actors in zip_longest(*roles)]
