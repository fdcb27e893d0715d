"""Options of the benchmark command, checked before anything heavy starts.

Boundary: option groups and bounds of `config`; looks at no file and no machine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from prepo_rlhf.config.base import ConfigError, Options
from prepo_rlhf.config.bounds import JsonObject, field_problems, json_object
from prepo_rlhf.config.checks import stop_problems
from prepo_rlhf.config.engine_args import engine_args, engine_args_problems
from prepo_rlhf.config.training import MathOptions

# A sample means nothing under other values of these: a stopped evaluation goes on only with the same.
SAMPLE_OPTIONS = (
    "model", "data_dir", "question_key", "answer_key", "n", "temperature", "top_p", "max_new_tokens", "seed",
    "prompt", "chat_template_kwargs", "prompt_file", "prompt_run", "stop", "truncate_prompts", "reward", "math",
    "param_dtype", "engine_args",
)  # fmt: skip
# vLLM's options that have one here.
_OWN_OPTIONS = {
    "model": "model", "trust_remote_code": "trust_remote_code", "seed": "seed", "dtype": "param_dtype",
    "max_model_len": "max_new_tokens", "tensor_parallel_size": "tensor_parallel_size",
    "gpu_memory_utilization": "gpu_memory_utilization",
}  # fmt: skip


@dataclass(frozen=True)
class BenchmarkOptions(Options):
    """Judge a model by benchmarks; compare two such results; or show which subjects a training run has covered."""

    model: str = ""
    """Folder or Hugging Face name of the model. Required."""
    trust_remote_code: bool = False
    """Run Python code that the model brings along, and load weights that are pickles: only if you trust its authors."""
    benchmarks: str = "gsm8k,math500,aime24,aime25,olympiadbench"
    """Benchmarks, separated by commas: names, or paths of .jsonl, .json, .csv, .parquet or .arrow files."""
    data_dir: str | None = None
    """Folder with the benchmarks' files; by default they come from the Hugging Face hub."""
    question_key: str = "question"
    """Column of the question in a file given by its path; dots reach into nested fields."""
    answer_key: str = "answer"
    """Column of its reference answer."""
    subject_key: str | None = None
    """Column of its subject; results are shown for each."""
    level_key: str | None = None
    """Column of its level of difficulty; results are shown for each."""
    limit: Annotated[int, Ge(1)] | None = None
    """Take the first so many problems of each benchmark."""
    prompt: Literal["qwen-math", "llama3", "plain", "chat", "file", "run"] = "chat"
    """What the model reads around a question: as --data.input_template of that name in training (chat is the
    tokenizer's chat template around question and instruction); a file's text; or as a training run had it."""
    chat_template_kwargs: JsonObject | None = None
    """JSON object of what the chat template takes besides, for --prompt chat: as --data.chat_template_kwargs."""
    prompt_file: str | None = None
    """Text file with {question} in it, for --prompt file."""
    prompt_run: str | None = None
    """Folder of a training run's records (its --logger.run_dir), for --prompt run: its template and its stops."""
    stop: str | list[str] = field(default_factory=list)
    """Texts that end a response, as --rollout.stop in training; besides the model's EOS tokens and the template's."""
    truncate_prompts: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Leave out the last share of each question, from 0 to below 1. Right answers to a question cut by 0.4 are a sign
    of memorisation (PREPO)."""
    n: Annotated[int, Ge(1)] = 16
    """Samples for each problem."""
    temperature: Annotated[float, Ge(0)] = 0.6
    """Sampling temperature; 0 takes the most probable token."""
    top_p: Annotated[float, Gt(0), Le(1)] = 0.95
    """Sample from the most probable tokens that make up this share."""
    max_new_tokens: Annotated[int, Ge(1)] = 3072
    """Longest response in tokens; less where the model's context leaves less."""
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] = 0
    """Seed of the samples."""
    perplexity: bool = False
    """Score every prompt as PREPO does, and show how its perplexity goes with its pass rate."""
    reward: str = "math"
    """What grades: `math` for the built-in verifier, or a Python file with reward_func(queries, prompts, labels)."""
    math: MathOptions = field(default_factory=MathOptions)
    num_engines: Annotated[int, Ge(1)] = 1
    """vLLM engines; each takes problems as it gets free."""
    tensor_parallel_size: Annotated[int, Ge(1)] = 1
    """GPUs for each engine."""
    gpu_memory_utilization: float = 0.9
    """Share of a GPU's memory that an engine may take."""
    engine_args: JsonObject | None = None
    """JSON object of vLLM's own engine arguments, as --vllm.engine_args in training."""
    param_dtype: Literal["bf16", "fp16", "fp32"] = "bf16"
    """Data type of the weights. Many CPUs can only emulate bf16 and are faster with fp32."""
    backend: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to run; auto takes GPUs if there are any."""
    output_dir: str = "./runs/eval"
    """Folder of samples.jsonl, results.json and results.md; the same command goes on with what is there."""
    compare: tuple[str, str] | None = None
    """Two such folders: instead of judging a model, compare the second with the first, problem by problem."""
    coverage: list[str] | None = None
    """Folders of training runs: instead of judging a model, show how many prompts of each --subject_key they used."""

    @property
    def stops(self) -> list[str]:
        """`stop` as a list."""
        return [self.stop] if isinstance(self.stop, str) else self.stop


def check(options: BenchmarkOptions) -> None:
    """Raise ConfigError that lists every option that cannot work."""
    problems = field_problems(BenchmarkOptions, asdict(options))
    problems += stop_problems("--stop", options.stops)
    problems += _engine_args_problems(options.engine_args)
    if not options.model:
        problems.append("--model is missing: give a folder or a Hugging Face name")
    if options.temperature == 0 and options.n > 1:
        problems.append(f"--temperature 0 gives the same response {options.n} times: add --n 1, or raise it")
    if problems:
        raise ConfigError("\n".join(problems))


def _engine_args_problems(text: str | None) -> list[str]:
    try:
        given = engine_args(json_object(text))
    except ValueError:  # told by its type
        return []
    return list(engine_args_problems("--engine_args", given, _OWN_OPTIONS, synced=False))
