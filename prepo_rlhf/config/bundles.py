"""Which GPUs a job asks of the cluster, and which actors share one: OpenRLHF's three layouts.

Separate GPUs, policy and reference model on the same (`--train.colocate_actor_ref`), everything on the same
(`--train.colocate_all`; with `--train.async_enable` the engines keep GPUs of their own).
Boundary: options alone; `prepo_rlhf.cluster.places` reserves what is counted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from prepo_rlhf.config.root import Config

Bundle = tuple[str, ...]
"""The actors on one GPU: "policy 0", "reference 0", "engine 0", the ranks of a tensor-parallel engine "engine 0.1"."""


@dataclass(frozen=True)
class BundleGroup:
    """Bundles reserved as one placement group: the same number on each of `nodes` nodes; for 1, on as few as can be."""

    nodes: int
    bundles: list[Bundle]

    @property
    def on_each_node(self) -> int:
        """Bundles on each of several nodes."""
        return len(self.bundles) // self.nodes

    @property
    def options(self) -> str:
        """The group of options that sets the number of nodes: `actor`, or `ref` for a reference model on own GPUs."""
        return "actor" if "policy" in self.roles else "ref"

    @property
    def roles(self) -> set[str]:
        """Which of policy, reference and engine have their GPUs here."""
        return {role for bundle in self.bundles for role in roles(bundle)}


def roles(bundle: Bundle) -> tuple[str, ...]:
    """Which of policy, reference and engine share this GPU."""
    return tuple(actor.split()[0] for actor in bundle)


def required_bundles(config: Config) -> int:
    """How many bundles of one GPU and one CPU a job asks of the cluster."""
    return sum(len(group.bundles) for group in bundle_groups(config))


def bundle_groups(config: Config) -> list[BundleGroup]:
    """The placement groups of a job in the order in which they are reserved: first the policy, which needs a fixed
    number of GPUs on each node, last the engines, which can use any."""
    actor, ref = config.actor, config.ref
    policy = [f"policy {rank}" for rank in range(actor.num_nodes * actor.num_gpus_per_node)]
    reference = [f"reference {rank}" for rank in range(ref.num_nodes * ref.num_gpus_per_node)]
    if config.algo.kl.init_coef == 0:
        reference = []
    engines = _engine_ranks(config)
    if config.train.colocate_all and not config.train.async_enable:
        groups = [BundleGroup(actor.num_nodes, _share(policy, reference, engines))]
    elif config.train.colocate_all or config.train.colocate_actor_ref:
        groups = [BundleGroup(actor.num_nodes, _share(policy, reference)), BundleGroup(1, _share(engines))]
    else:
        groups = [BundleGroup(actor.num_nodes, _share(policy)), BundleGroup(ref.num_nodes, _share(reference))]
        groups.append(BundleGroup(1, _share(engines)))
    return [group for group in groups if group.bundles]


def _engine_ranks(config: Config) -> list[str]:
    size = config.vllm.tensor_parallel_size
    engines = range(config.vllm.num_engines)
    return [f"engine {engine}.{rank}" if size > 1 else f"engine {engine}" for engine in engines for rank in range(size)]


def _share(*roles: list[str]) -> list[Bundle]:
    return [tuple(filter(None, actors)) for actors in zip_longest(*roles)]
