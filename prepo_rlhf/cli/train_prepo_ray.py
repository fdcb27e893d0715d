"""Train a policy with PREPO on Ray, DeepSpeed and vLLM.

    ray job submit --address=http://127.0.0.1:8265 -- python3 -m prepo_rlhf.cli.train_prepo_ray --help
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from signal import SIGINT
from typing import Any

from prepo_rlhf import backends
from prepo_rlhf.cli.entry import command
from prepo_rlhf.config import Config, ConfigError, check, parse_args, resolve
from prepo_rlhf.trainer.stopped import PartDied, TrainingStopped, how_to_go_on, keep_traceback


def job_config(argv: Sequence[str] | None = None) -> Config:
    """The complete, valid options of a job on this machine, from its command line (by default the process's own).

    Raises ConfigError, and exits for `--help`, `--print_config` and values of a wrong type, as `parse_args` does.
    """
    given = parse_args(argv)
    return check(resolve(given, backends.this_machine(given.backend)))


@command("train_prepo_ray")
def main(**scoring: Any) -> int:
    """Run the job that the command line describes.

    Returns 2 when it cannot work, 1 when it broke off, and 75 (EX_TEMPFAIL) when a process, node or server is gone, so
    that another start may help, with the reason on stderr; 130 after Ctrl-C; 0 when training has ended, and when
    SIGTERM has stopped it: a scheduler may start it again, with `--ckpt.load_enable`. `scoring` is
    `make_scorer` of `prepo_rlhf.trainer.job.run`, if another than perplexity is wanted.
    """
    try:
        config = job_config()
        from prepo_rlhf.trainer.job import run

        try:
            stopped = run(config, **scoring)
        except TrainingStopped as error:
            print(f"train_prepo_ray: {error}. {keep_traceback(error, config.logger.run_dir)}", file=sys.stderr)
            return os.EX_TEMPFAIL if isinstance(error, PartDied) else 1
        except KeyboardInterrupt:
            print(f"train_prepo_ray: stopped at once; {_how_to_go_on(config)}", file=sys.stderr)
            return 130
    except ConfigError as error:
        print(f"train_prepo_ray: {error}", file=sys.stderr)
        return 2
    return 130 if stopped is SIGINT else 0


def _how_to_go_on(config: Config) -> str:
    from prepo_rlhf.files import checkpoint_manifest, outputs

    folder = Path(config.ckpt.path) / outputs.ACTOR_FOLDER
    return how_to_go_on(folder, checkpoint_manifest.newest(folder))


if __name__ == "__main__":
    sys.exit(main())
