"""A plan as tables on a terminal.

Boundary: rich; computes nothing but sums and shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from rich.console import Group
from rich.table import Table

from prepo_rlhf.planning.cluster import GIB
from prepo_rlhf.planning.plan import Plan
from prepo_rlhf.planning.step_counts import most_prompts

MILLION = 10**6


def tables(plan: Plan) -> Group:
    """Everything in the plan except its problems."""
    placement = [_placement(plan)] if plan.placed else []
    return Group(_model(plan), *_memory(plan), _engine(plan), *placement, _schedule(plan), _cost(plan))


def verdict(plan: Plan) -> str:
    """Of a plan without problems: what the fullest GPU has left."""
    fullest = max(plan.memory, key=lambda account: max(account.training, account.generating))
    training, generating, size = fullest.training, fullest.generating, plan.cluster.gpu_bytes
    when = "while the policy trains" if training > generating else "while the engines generate"
    host = f"; a node has to hold {plan.host / GIB:.1f} GiB in its host's memory" if plan.host else ""
    return (
        f"fits: the fullest GPU ({' + '.join(fullest.roles)}) needs {max(training, generating) / GIB:.1f} of "
        f"{plan.cluster.gpu_memory:g} GiB{'' if training == generating else f' {when}'} and has "
        f"{(size - max(training, generating)) / GIB:.1f} to spare{host}"
    )


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _gib(size: float) -> str:
    return f"{size / GIB:.2f}"


def _model(plan: Plan) -> Table:
    counts = (("parameters", plan.shape.parameters), ("trained", plan.shape.trainable))
    rows = [(name, f"{count / MILLION:,.1f}") for name, count in counts]
    return _table("Model", (plan.config.actor.model_name_or_path, "millions"), rows)


def _memory(plan: Plan) -> Iterator[Table]:
    for account in plan.memory:
        parts = [part for part in account.parts if part.training or part.generating]
        rows = [(part.name, _gib(part.training), _gib(part.generating)) for part in parts]
        table = _table(f"GPU of {' + '.join(account.roles)}, GiB", ("", "training", "generating"), rows)
        table.add_section()
        table.add_row("together", _gib(account.training), _gib(account.generating))
        table.add_row("there is", _gib(plan.cluster.gpu_bytes), _gib(plan.cluster.gpu_bytes))
        yield table
    rows = [
        ("output head in chunks, at its peak", _gib(plan.head)),
        ("the same if all logits were made", _gib(plan.plain_head)),
        ("memory of the fullest node's host", _gib(plan.host)),
    ]
    yield _table("Beside that, GiB", ("", ""), rows)


def _engine(plan: Plan) -> Table:
    rows = [
        ("GiB it may take (--vllm.gpu_memory_utilization)", _gib(plan.engine.taken)),
        ("GiB of weights", _gib(plan.engine.weights)),
        ("GiB of KV cache", _gib(plan.engine.cache)),
        (f"sequences of {plan.config.data.max_len:,} tokens at once", f"{plan.engine.sequences:,}"),
    ]
    return _table("Rollout engine, on each of its GPUs", ("", ""), rows)


def _placement(plan: Plan) -> Table:
    rows = [(f"{bundle.node}, {bundle.gpu}", ", ".join(bundle.actors)) for bundle in plan.placed]
    return _table("Placement", ("node, GPU", "actors"), rows)


def _schedule(plan: Plan) -> Table:
    schedule, candidates, rollout = plan.schedule, plan.config.prepo.candidate_batch_size, plan.config.rollout
    if schedule is None:
        return _table("Schedule", ("", ""), [("prompts", "unknown: give --prompts")])
    per_step = f"{rollout.n_samples_per_prompt} of {rollout.batch_size:,} prompts a step"
    if plan.config.prepo.allocation == "pilot":
        per_step = f"at most {per_step} or {plan.config.prepo.pilot_samples} of up to {most_prompts(plan.config):,}"
    numbers = {
        "prompts": schedule.prompts,
        f"steps an episode, of {candidates:,} candidates": schedule.steps_per_episode,
        f"steps in {plan.config.train.num_episodes} episodes": schedule.steps,
        "updates a step": schedule.updates_per_step,
        f"rollouts, {per_step} (Random: as many)": schedule.rollouts,
        "rollouts if all candidates got some": schedule.unselected,
    }
    return _table("Schedule", ("", ""), [(name, f"{number:,}") for name, number in numbers.items()])


def _cost(plan: Plan) -> Table:
    lengths, total = plan.lengths, sum(phase.flops for phase in plan.phases)
    title = f"A step's arithmetic, at {lengths.prompt:,} tokens a prompt and {lengths.response:,} a response"
    rows = [
        (phase.name, f"{phase.flops / 1e12:,.0f}", f"{phase.flops / total:.1%}", _time(phase.seconds))
        for phase in plan.phases
    ]
    table = _table(title, ("", "TFLOPs", "share", "time"), rows)
    table.add_section()
    seconds = step_seconds(plan)
    table.add_row("a step", f"{total / 1e12:,.0f}", "", _time(seconds))
    if seconds is not None and plan.schedule is not None:
        table.add_row("the run", "", "", _time(seconds * plan.schedule.steps))
    return table


def step_seconds(plan: Plan) -> float | None:
    """Of one step; None where a phase's are unknown. With `--train.async_enable` engines and policy work side by side.

    What is not arithmetic (rewards, weight sync, waiting for the longest response) is left out.
    """
    seconds = {phase.name: phase.seconds for phase in plan.phases if phase.seconds is not None}
    if len(seconds) < len(plan.phases):
        return None
    ahead = {"score prompts", "read prompts", "generate"} if plan.config.train.async_enable else set()
    rolling = sum(time for name, time in seconds.items() if name in ahead)
    return max(rolling, sum(time for name, time in seconds.items() if name not in ahead))


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
