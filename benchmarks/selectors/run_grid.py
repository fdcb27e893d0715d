"""Runs the grid of methods x seeds through the training command, and goes on where it was stopped.

    python benchmarks/selectors/run_grid.py --settings weak --seeds 1 2 3 4 5 --output_dir runs/selectors

Every run has the folder SETTING/STEPS/METHOD/seedN with the records that the training command writes. A run that is
complete is not run again; one that was cut short starts afresh. Ray is started once, for all runs.
Boundary: starts commands and looks whether they succeeded; what the runs have measured is for `results.py`.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import ray
from methods import METHODS, RATED_FILE
from probe import write_probe
from settings import HELDOUT_FILE, ROOT, SETTINGS, TRAIN_FILE
from tqdm import tqdm

COMPLETE = "complete"  # a file in the folder of a run that has ended well
ORACLE = Path(__file__).with_name("oracle.py")


class Run(NamedTuple):
    """One cell of the grid."""

    setting: str
    method: str
    seed: int
    steps: int

    def folder(self, output_dir: Path) -> Path:
        return output_dir / self.setting / str(self.steps) / self.method / f"seed{self.seed}"


def planned(
    settings: Sequence[str], methods: Sequence[str], seeds: Sequence[int], lengths: Sequence[int] | None = None
) -> list[Run]:
    """The runs of a grid, seed by seed, so that what is there after a stop is paired; by default of all lengths that a
    setting has."""
    return [
        Run(setting, method, seed, steps)
        for setting, seed, method in itertools.product(settings, seeds, methods)
        for steps in sorted(lengths or SETTINGS[setting].lengths, reverse=True)
        if METHODS[method].clocked or steps == max(lengths or SETTINGS[setting].lengths)
    ]


def command(run: Run, folder: Path, data: Path, learning_rate: float | None = None) -> list[str]:
    """The training command of a run, at the setting's learning rate where none is given."""
    method, setting = METHODS[run.method], SETTINGS[run.setting]
    eval_steps = method.eval_steps(setting)
    entry = [str(ORACLE)] if method.oracle else ["-m", "prepo_rlhf.cli.train_prepo_ray"]
    own = {
        "data.prompt_dataset": data / (RATED_FILE if method.rated else TRAIN_FILE),
        "prepo.candidate_batch_size": method.window * setting.prompts,
        "train.num_episodes": method.episodes(setting, run.steps),
        "train.seed": run.seed,
        "eval.steps": eval_steps,
        "logger.run_dir": folder,
        "ckpt.path": folder / "checkpoints",
        "ckpt.output_dir": folder / "model",
        "ckpt.save_steps": 3 * eval_steps,
    }
    options = [part for name, value in own.items() for part in (f"--{name}", str(value))]
    shared = setting.arguments(data / HELDOUT_FILE, learning_rate or setting.learning_rate)
    return [sys.executable, *entry, *shared, *options, *method.options]


def execute(run: Run, output_dir: Path, learning_rate: float | None) -> None:
    """Run it from its start, and measure the entropy of its models; RuntimeError if the command failed."""
    folder, data = run.folder(output_dir), output_dir / run.setting / "data"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with (folder / "job.log").open("w") as log:
        arguments = command(run, folder, data, learning_rate)
        done = subprocess.run(arguments, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}; see {folder / 'job.log'}")
    setting = SETTINGS[run.setting]
    write_probe(folder, setting.model, data / HELDOUT_FILE, setting.template)
    (folder / COMPLETE).touch()


def make_data(setting: str, output_dir: Path) -> Path:
    """Training and held-out problems of a setting; their folder."""
    folder = output_dir / setting / "data"
    SETTINGS[setting].make_data(folder)
    return folder


def read_arguments(description: str) -> argparse.Namespace:
    """`runs` and `output_dir` of a command that reads a grid; the latter exists afterwards."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="output_dir of run_grid.py")
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    return args


@contextmanager
def ray_head(jobs: int) -> Iterator[None]:
    """A Ray of logical CPUs and GPUs for `jobs` runs at a time, which they find by its address; gone afterwards."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, os.cpu_count() // jobs)))
    context = ray.init("local", num_cpus=2 * jobs, num_gpus=2 * jobs, include_dashboard=False, log_to_driver=False)
    os.environ["RAY_ADDRESS"] = context.address_info["gcs_address"]
    try:
        yield
    finally:
        ray.shutdown()


def run_all(runs: Sequence[Run], output_dir: Path, learning_rate: float | None, jobs: int) -> None:
    """Those of the runs that are not complete, `jobs` at a time; RuntimeError at their end if some failed."""
    missing = [run for run in runs if not (run.folder(output_dir) / COMPLETE).is_file()]
    print(f"{len(runs)} runs, of which {len(runs) - len(missing)} are complete")
    with ray_head(jobs), ThreadPoolExecutor(jobs) as executor:
        calls = [executor.submit(execute, run, output_dir, learning_rate) for run in missing]
        try:
            failures = [call.exception() for call in tqdm(as_completed(calls), total=len(calls), unit="run")]
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
    if any(failures):
        raise RuntimeError("\n".join(str(failure) for failure in failures if failure))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["weak", "mid"])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--steps", nargs="+", type=int, help="lengths of the runs; by default all of a setting's")
    parser.add_argument("--learning_rate", type=float, help="by default the setting's")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args()
    output_dir = args.output_dir.resolve()
    try:
        for setting in args.settings:
            make_data(setting, output_dir)
        run_all(planned(args.settings, args.methods, args.seeds, args.steps), output_dir, args.learning_rate, args.jobs)
    except (FileNotFoundError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
