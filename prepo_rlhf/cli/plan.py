"""Plan a training job before it is started: memory on every GPU, placement, steps, rollouts, arithmetic.

    python -m prepo_rlhf.cli.plan --model Qwen/Qwen2.5-Math-7B --nodes 1 --gpus_per_node 8
    python -m prepo_rlhf.cli.plan --nodes 2 --gpus_per_node 8 --prompts 17000 -- TRAINING OPTIONS

After `--` come the options of prepo_rlhf.cli.train_prepo_ray, as a launch script gives them. Without any, the plan is
of everything on the same GPUs, all of them. It exits with 1 if the job can't fit, and says which option to change.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import tyro
from annotated_types import Gt
from rich.console import Console

from prepo_rlhf.cli.entry import command
from prepo_rlhf.config import Config, ConfigError, Machine, check, parse_args, resolve
from prepo_rlhf.config.arguments import understood
from prepo_rlhf.config.bounds import field_problems
from prepo_rlhf.config.option_names import option_types
from prepo_rlhf.planning.cluster import Cluster
from prepo_rlhf.planning.cost import Lengths, Speed
from prepo_rlhf.planning.plan import make_plan
from prepo_rlhf.planning.tables import tables, verdict


@dataclass
class PlanOptions:
    """Estimate what a training job takes, and whether it fits. Training options follow after `--`."""

    model: str | None = None
    """Short for the training option --actor.model_name_or_path."""
    nodes: Annotated[int, Gt(0)] | None = None
    """Machines; by default the job's --actor.num_nodes."""
    gpus_per_node: Annotated[int, Gt(0)] = 8
    """GPUs of each machine."""
    gpu_memory: Annotated[float, Gt(0)] = 80.0
    """GiB of a GPU."""
    reserve: float = 4.0
    """GiB of a GPU set aside for what no formula covers: CUDA contexts, NCCL's buffers, fragmentation, vLLM's
    workspace. An allowance, not a measurement."""
    prompts: Annotated[int, Gt(0)] | None = None
    """Prompts that fit the context; by default the rows of the dataset, where it is a local file."""
    prompt_tokens: Annotated[int, Gt(0)] | None = None
    """Mean tokens of a prompt; by default the most that --data.max_len leaves beside the response."""
    response_tokens: Annotated[int, Gt(0)] | None = None
    """Mean tokens of a response; by default the most there may be."""
    tflops: Annotated[float, Gt(0)] | None = None
    """TFLOP/s that a GPU of yours reaches in training, for times; measure it, the plan knows no GPU."""
    tokens_per_second: Annotated[float, Gt(0)] | None = None
    """Tokens that an engine of yours generates in a second, over all its sequences, for times."""


@command("plan")
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the plan; 1 when the job can't fit, 2 when the options can't be planned, with the reason on stderr."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    at = arguments.index("--") if "--" in arguments else len(arguments)
    try:
        own = understood(arguments[:at], option_types(PlanOptions))
        options = tyro.cli(PlanOptions, prog="prepo plan", args=own, use_underscores=True)
        if problems := field_problems(PlanOptions, asdict(options)):
            raise ConfigError("\n".join(problems))
        if not 0 <= options.reserve < options.gpu_memory:
            raise ConfigError(f"--reserve {options.reserve}: must be from 0 to below --gpu_memory {options.gpu_memory}")
        config = training_options(options, arguments[at + 1 :])
        nodes = options.nodes or config.actor.num_nodes
        cluster = Cluster(nodes, options.gpus_per_node, options.gpu_memory, options.reserve)
        speed = Speed(options.tflops, options.tokens_per_second)
        plan = make_plan(config, cluster, options.prompts, _lengths(options, config), speed)
    except ConfigError as error:
        print(f"plan: {error}", file=sys.stderr)
        return 2
    Console().print(tables(plan))
    for problem in plan.problems:
        print(f"plan: does not fit: {problem}", file=sys.stderr)
    if not plan.problems:
        print(f"plan: {verdict(plan)}")
    return 1 if plan.problems else 0


def training_options(options: PlanOptions, given: Sequence[str]) -> Config:
    """The job's complete, valid options: those after `--`, or a layout of everything on all GPUs.

    Raises ConfigError as a training job does, but not for data and reward, which a plan can do without.
    """
    job = parse_args(given or _everything_together(options))
    job = job.replaced({
        "actor.model_name_or_path": options.model or job.actor.model_name_or_path,
        "data.prompt_dataset": job.data.prompt_dataset or "unknown",
        "eval.dataset": job.eval.dataset or "unknown",
        "reward.remote_url": job.reward.remote_url or "unknown",
    })  # fmt: skip
    return check(resolve(job, Machine("cuda", has_flash_attention=True, folder=os.getcwd())))


def _everything_together(options: PlanOptions) -> list[str]:
    nodes, gpus = options.nodes or 1, (options.nodes or 1) * options.gpus_per_node
    return (
        f"--actor.num_nodes {nodes} --actor.num_gpus_per_node {options.gpus_per_node} --ds.zero_stage 3 "
        "--vllm.gpu_memory_utilization 0.6 --train.colocate_all --vllm.enable_sleep --ds.enable_sleep "
        f"--actor.gradient_checkpointing_enable --train.batch_size {128 * gpus} --rollout.batch_size {16 * gpus}"
    ).split()


def _lengths(options: PlanOptions, config: Config) -> Lengths:
    longest = config.data.max_len
    response = config.rollout.max_new_tokens or longest // 2
    return Lengths(options.prompt_tokens or longest - response, options.response_tokens or response)


if __name__ == "__main__":
    sys.exit(main())
