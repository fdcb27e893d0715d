"""Steps, updates and rollouts of a run, from the number of its prompts.

Boundary: options, and the dataset where it is a local file that `prepo_rlhf.files.rows` reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from prepo_rlhf.backends.missing import missing_library
from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.files.rows import read_rows, row_suffix


class Schedule(NamedTuple):
    """Counts of a whole run; `unselected` are the rollouts if all candidates got some.

    With dynamic filtering or a selector that drops groups, `steps` is an upper bound: replacements use up draws.
    """

    prompts: int
    steps_per_episode: int
    steps: int
    updates_per_step: int
    rollouts: int
    unselected: int


def schedule(config: Config, prompts: int) -> Schedule:
    """The schedule of `prompts` that fit the context; ConfigError if they are fewer than one draw takes."""
    candidates, k, n = config.prepo.candidate_batch_size, config.rollout.batch_size, config.rollout.n_samples_per_prompt
    per_episode = prompts // candidates
    if per_episode == 0:
        raise ConfigError(
            f"--prepo.candidate_batch_size {candidates}: there are only {prompts} prompts; lower it (and "
            "--rollout.batch_size), or give more data"
        )
    steps = per_episode * config.train.num_episodes
    updates = k * n // config.train.batch_size * config.train.max_epochs
    return Schedule(prompts, per_episode, steps, updates, steps * k * n, steps * candidates * n)


def most_prompts(config: Config) -> int:
    """Prompts of a step: K, or as many pilots as it has rollouts for."""
    k, pilot = config.rollout.batch_size, config.prepo.pilot_samples
    return k if pilot is None else k * config.rollout.n_samples_per_prompt // pilot


def count_prompts(config: Config) -> int | None:
    """Rows of `--data.prompt_dataset`, at most `--data.max_samples`; None if it is no file that can be read here, and
    ConfigError if it is one, but broken."""
    path = Path(config.data.prompt_dataset)
    if row_suffix(path) is None or not path.is_file():
        return None
    try:
        return min(len(read_rows(path)), config.data.max_samples)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--data.prompt_dataset {path}: cannot be read ({error})") from error
    except ModuleNotFoundError as error:
        if not (told := missing_library(error)):
            raise
        raise ConfigError(f"--data.prompt_dataset {path}: {told}; or give --prompts") from error
