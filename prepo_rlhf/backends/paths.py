"""The files of a job that its actors open, in whichever folder and on whichever node Ray has started them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter

from prepo_rlhf.config import Config

READ = ("actor.model_name_or_path", "reward.remote_url", "train.agent_func_path")
WRITTEN = ("ckpt.path", "ckpt.output_dir")


def make_absolute(config: Config) -> None:
    """Let relative paths mean what they mean to the driver. A name of Hugging Face or an URL stays as it is."""
    for name in (*READ, *WRITTEN):
        group, _, key = name.rpartition(".")
        path = attrgetter(name)(config)
        if name in WRITTEN or (path and os.path.exists(path)):
            setattr(attrgetter(group)(config), key, os.path.abspath(path))


@contextmanager
def needed_on_all_nodes(config: Config) -> Iterator[dict[str, str]]:
    """Absolute paths by option. For the checkpoints, whose shards every rank writes and reads, it is a file that
    exists meanwhile: two nodes may each have a folder of that name."""
    values = {name: attrgetter(name)(config) for name in READ}
    files = {f"--{name} {path}": path for name, path in values.items() if path and os.path.isabs(path)}
    if not _uses_checkpoints(config):
        yield files
        return
    with tempfile.NamedTemporaryFile(dir=config.ckpt.path) as probe:
        yield files | {f"--ckpt.path {config.ckpt.path}": probe.name}


def _uses_checkpoints(config: Config) -> bool:
    keeps_best = config.eval.steps > 0 and config.ckpt.best_metric_key != "none"
    return config.ckpt.save_steps > 0 or config.ckpt.load_enable or keeps_best
