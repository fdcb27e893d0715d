"""Judge a model by mathematics benchmarks, with vLLM engines on Ray.

    python -m prepo_rlhf.cli.eval_math --model Qwen/Qwen2.5-Math-1.5B --prompt qwen-math --benchmarks math500,aime24
    python -m prepo_rlhf.cli.eval_math --compare runs/eval/base runs/eval/trained
    python -m prepo_rlhf.cli.eval_math --coverage runs/prepo runs/random --subject_key subject
"""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from prepo_rlhf.cli.entry import command
from prepo_rlhf.config.arguments import understood
from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.option_names import option_types
from prepo_rlhf.config.short_help import HELP, short_help
from prepo_rlhf.evaluation.options import BenchmarkOptions, check
from prepo_rlhf.evaluation.stopped import EvaluationStopped
from prepo_rlhf.trainer.stopped import keep_traceback

PROGRAM = "prepo eval"
THAT_MATTER = {
    "To judge a model": (
        "model", "benchmarks", "data_dir", "limit", "prompt", "n", "temperature", "max_new_tokens", "num_engines",
        "tensor_parallel_size", "output_dir",
    ),
    "To compare two results, or see what training has covered": ("compare", "coverage", "subject_key"),
}  # fmt: skip


@command("eval_math")
def main() -> int:
    """Print the tables that the command line asks for.

    Returns 2 when it cannot work and 1 when it broke off, with the reason on stderr.
    """
    if set(HELP) & set(sys.argv[1:]):
        print(short_help(PROGRAM, BenchmarkOptions.__doc__ or "", BenchmarkOptions, THAT_MATTER))
        return 0
    try:
        arguments = understood(sys.argv[1:], option_types(BenchmarkOptions))
        options = tyro.cli(BenchmarkOptions, prog=PROGRAM, args=arguments, use_underscores=True)
    except ConfigError as error:
        print(f"eval_math: {error}", file=sys.stderr)
        return 2
    try:
        print(_tables(options))
    except ConfigError as error:
        print(f"eval_math: {error}", file=sys.stderr)
        return 2
    except EvaluationStopped as error:
        going_on = f"the same command goes on with {options.output_dir}"
        print(f"eval_math: {error}; {going_on}. {keep_traceback(error, options.output_dir)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"eval_math: stopped; the same command goes on with {options.output_dir}", file=sys.stderr)
        return 130
    return 0


def _tables(options: BenchmarkOptions) -> str:
    if options.compare:
        from prepo_rlhf.evaluation.compare import compare_folders

        return compare_folders(*map(Path, options.compare))
    if options.coverage:
        from prepo_rlhf.evaluation.subject_table import subject_tables

        return subject_tables([Path(folder) for folder in options.coverage], options.subject_key)
    check(options)
    from prepo_rlhf.evaluation.runner import run

    return run(options)


if __name__ == "__main__":
    sys.exit(main())
