"""A benchmark evaluation from its options to results.json: problems, prompts, samples, metrics.

Samples are on disk as soon as they are made; the same command resumes a stopped one.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from prepo_rlhf.backends import vllm_arguments
from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.config.engine_args import engine_args
from prepo_rlhf.evaluation import perplexity
from prepo_rlhf.evaluation.benchmarks import Keys, Problem, display_name, load_benchmark
from prepo_rlhf.evaluation.options import SAMPLE_OPTIONS, BenchmarkOptions
from prepo_rlhf.evaluation.sample_log import SampleLog, problem_samples
from prepo_rlhf.evaluation.table import results_tables
from prepo_rlhf.evaluation.tasks import Task, make_tasks
from prepo_rlhf.files.model_files import ModelFiles
from prepo_rlhf.files.model_limits import context_length
from prepo_rlhf.metrics.samples import sample_of
from prepo_rlhf.metrics.summary import summarise, summarise_by
from prepo_rlhf.prompts.render import benchmark_style
from prepo_rlhf.prompts.sources import split_names
from prepo_rlhf.prompts.stops import Stops, find_stops
from prepo_rlhf.rewards.contract import RewardError
from prepo_rlhf.rewards.sources import check_reward

RESULTS_FILE, TABLE_FILE = "results.json", "results.md"


def run(options: BenchmarkOptions) -> str:
    """The results of the evaluation that `options` ask for, as Markdown, which is also written to the output folder.

    Raises ConfigError, before anything heavy is started, if it cannot work.
    """
    problems, tasks, stops = prepare(options)
    folder = Path(options.output_dir)
    log = SampleLog(folder, {name: asdict(options)[name] for name in SAMPLE_OPTIONS}, options.n)
    try:
        if options.perplexity:
            perplexity.check_perplexity(tasks, log)
        _sample_missing(tasks, stops, log, options)
    finally:
        log.close()
    results = _results(problems, log)
    table = results_tables(results)
    if options.perplexity:
        table += "\n" + _add_perplexity(results, problems, log, folder)
    (folder / RESULTS_FILE).write_text(json.dumps({"model": options.model, "benchmarks": results}, indent=2) + "\n")
    (folder / TABLE_FILE).write_text(table)
    return table


def prepare(options: BenchmarkOptions) -> tuple[dict[str, list[Problem]], list[Task], Stops]:
    """The problems by benchmark, the same as a model reads them, and what ends its responses.

    Raises ConfigError if options or files cannot work.
    """
    try:
        check_reward(options.reward)
    except RewardError as error:
        raise ConfigError(str(error).replace("--reward.remote_url", "--reward")) from error
    vllm_arguments.check("--engine_args", engine_args(options.engine_args))
    problems = _load_problems(options)
    files = ModelFiles(options.model, options.trust_remote_code, "--model", "--trust_remote_code")
    model, tokenizer = files.check(), files.tokenizer()
    style = benchmark_style(options.prompt, options.prompt_file, options.prompt_run, options.chat_template_kwargs)
    tasks = make_tasks(problems, tokenizer, style, options, context_length(model.config))
    prompts = ((f"problem {task.problem.id}", task.token_ids) for task in tasks)
    files.check_token_ids(model.config, tokenizer, "--benchmarks", prompts)
    return problems, tasks, find_stops(style, options.stops, "--stop", tokenizer, files, model)


def _load_problems(options: BenchmarkOptions) -> dict[str, list[Problem]]:
    keys = Keys(options.question_key, options.answer_key, options.subject_key, options.level_key)
    problems: dict[str, list[Problem]] = {}
    for name in split_names(options.benchmarks):
        title = display_name(name)
        if title in problems:
            raise ConfigError(f"--benchmarks {options.benchmarks}: two of them are called {title}; rename one of them")
        problems[title] = load_benchmark(name, options.data_dir, keys, options.limit)
    return problems


def _sample_missing(tasks: list[Task], stops: Stops, log: SampleLog, options: BenchmarkOptions) -> None:
    left = [task for task in tasks if task.key not in log.done]
    if not left:
        return
    from prepo_rlhf.evaluation.engines import running_engines, sample

    max_len = max(len(task.token_ids) + task.max_new_tokens for task in tasks)
    with (
        running_engines(options, max_len) as engines,
        tqdm(total=len(tasks), initial=len(tasks) - len(left), unit="problem", smoothing=0) as progress,
    ):
        scores = perplexity.score_prompts(engines, left) if options.perplexity else {}
        for task, responses in sample(engines, left, stops, options):
            score = scores.get(task.key, {})
            log.append(task.key, [_row(task, i, score, response) for i, response in enumerate(responses)])
            progress.update()


def _row(task: Task, number: int, score: dict[str, float], response: dict[str, Any]) -> dict[str, Any]:
    problem = task.problem
    where = {"benchmark": task.benchmark, "problem": problem.id, "sample": number}
    about = {"subject": problem.subject, "level": problem.level, "gold": problem.gold}
    return where | about | score | {"response": response["response"]} | asdict(sample_of(response))


def _results(problems: dict[str, list[Problem]], log: SampleLog) -> dict[str, dict[str, Any]]:
    results = {}
    for benchmark, members in problems.items():
        samples = [problem_samples(log.done[benchmark, problem.id]) for problem in members]
        results[benchmark] = {
            "num_problems": len(samples),
            "overall": summarise(samples),
            "subject": summarise_by(samples, "subject"),
            "level": summarise_by(samples, "level"),
        }
    return results


def _add_perplexity(
    results: dict[str, dict[str, Any]], problems: dict[str, list[Problem]], log: SampleLog, folder: Path
) -> str:
    """Add the correlation of perplexity and pass rate to each benchmark's result; returns its Markdown table."""
    for benchmark, members in problems.items():
        prompts = perplexity.prompt_table([log.done[benchmark, problem.id] for problem in members])
        results[benchmark]["perplexity"] = perplexity.correlation_rows(prompts)
        perplexity.draw(folder, benchmark, prompts)
    return perplexity.correlation_table({benchmark: result["perplexity"] for benchmark, result in results.items()})
