"""A plan as tables on a terminal.

Boundary: rich; computes nothing but sums and shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rich.console import Group
from rich.table import Table

from prepo_rlhf.planning.cluster import GIB
from prepo_rlhf.planning.plan import Plan

MILLION = 10**6


def tables(plan: Plan) -> Group:
    """All that the plan says, but for its problems."""
    placement = [_placement(plan)] if plan.placed else []
    return Group(_model(plan), *_memory(plan), _engine(plan), *placement, _schedule(plan), _cost(plan))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _gib(size: float) -> str:
    return f"{size / GIB:.2f}"


def _model(plan: Plan) -> Table:
    table = _table("Model", plan.config.actor.model_name_or_path, "millions")
    table.add_row("parameters", f"{plan.shape.parameters / MILLION:,.1f}")
    table.add_row("trained", f"{plan.shape.trainable / MILLION:,.1f}")
    return table


def _memory(plan: Plan) -> Iterator[Table]:
    for account in plan.memory:
        table = _table(f"GPU of {' + '.join(account.roles)}, GiB", "", "training", "generating")
        for part in account.parts:
            if part.training or part.generating:
                table.add_row(part.name, _gib(part.training), _gib(part.generating))
        table.add_section()
        table.add_row("together", _gib(account.training), _gib(account.generating))
        table.add_row("there is", _gib(plan.cluster.gpu_bytes), _gib(plan.cluster.gpu_bytes))
        yield table
    table = _table("Beside that, GiB", "", "")
    table.add_row("output head in chunks, at its peak", _gib(plan.head))
    table.add_row("the same if all logits were made", _gib(plan.plain_head))
    table.add_row("memory of the fullest node's host", _gib(plan.host))
    yield table


def _engine(plan: Plan) -> Table:
    table = _table("Rollout engine, on each of its GPUs", "", "")
    table.add_row("GiB it may take (--vllm.gpu_memory_utilization)", _gib(plan.engine.taken))
    table.add_row("GiB of weights", _gib(plan.engine.weights))
    table.add_row("GiB of KV cache", _gib(plan.engine.cache))
    table.add_row(f"sequences of {plan.config.data.max_len:,} tokens at once", f"{plan.engine.sequences:,}")
    return table


def _placement(plan: Plan) -> Table:
    table = _table("Placement", "node, GPU", "actors")
    for bundle in plan.placed:
        table.add_row(f"{bundle.node}, {bundle.gpu}", ", ".join(bundle.actors))
    return table


def _schedule(plan: Plan) -> Table:
    table = _table("Schedule", "", "")
    schedule = plan.schedule
    if schedule is None:
        table.add_row("prompts", "unknown: give --prompts")
        return table
    prepo, rollout = plan.config.prepo, plan.config.rollout
    table.add_row("prompts", f"{schedule.prompts:,}")
    table.add_row(f"steps an episode, of {prepo.candidate_batch_size:,} candidates", f"{schedule.steps_per_episode:,}")
    table.add_row(f"steps in {plan.config.train.num_episodes} episodes", f"{schedule.steps:,}")
    table.add_row("updates a step", f"{schedule.updates_per_step:,}")
    table.add_row(
        f"rollouts, {rollout.n_samples_per_prompt} of {rollout.batch_size:,} prompts a step (Random: as many)",
        f"{schedule.rollouts:,}",
    )
    table.add_row("rollouts if all candidates got some", f"{schedule.unselected:,}")
    return table


def _cost(plan: Plan) -> Table:
    lengths, total = plan.lengths, sum(phase.flops for phase in plan.phases)
    title = f"A step's arithmetic, at {lengths.prompt:,} tokens a prompt and {lengths.response:,} a response"
    table = _table(title, "", "TFLOPs", "share", "time")
    for phase in plan.phases:
        time = "" if phase.seconds is None else _time(phase.seconds)
        table.add_row(phase.name, f"{phase.flops / 1e12:,.0f}", f"{phase.flops / total:.1%}", time)
    table.add_section()
    seconds = step_seconds(plan)
    table.add_row("a step", f"{total / 1e12:,.0f}", "", "" if seconds is None else _time(seconds))
    if seconds is not None and plan.schedule is not None:
        table.add_row("the run", "", "", _time(seconds * plan.schedule.steps))
    return table


def step_seconds(plan: Plan) -> float | None:
    """Of one step; None where a phase's are unknown. With `--train.async_enable` engines and policy work side by side.

    What is not arithmetic (rewards, weight sync, waiting for the longest response) is left out.
    """
    if any(phase.seconds is None for phase in plan.phases):
        return None
    ahead = {"score prompts", "read prompts", "generate"} if plan.config.train.async_enable else set()
    rolling = sum(phase.seconds for phase in plan.phases if phase.name in ahead)
    return max(rolling, sum(phase.seconds for phase in plan.phases if phase.name not in ahead))


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
