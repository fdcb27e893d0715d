"""The files of a job that its actors open, in whichever folder and on whichever node Ray has started them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from operator import attrgetter

from prepo_rlhf.config import Config
from prepo_rlhf.config.resolve import PATHS_READ


@contextmanager
def needed_on_all_nodes(config: Config) -> Generator[dict[str, str]]:
    """Absolute paths by option. For the folder of checkpoints, which all ranks share, it is a temporary file in it that
    exists while the context lasts: two nodes may each have a different folder of that name."""
    values = {name: attrgetter(name)(config) for name in PATHS_READ}
    files = {f"--{name} {path}": path for name, path in values.items() if path and os.path.isabs(path)}
    keeps_best = config.eval.steps > 0 and config.ckpt.best_metric_key != "none"
    if not (config.ckpt.save_steps > 0 or config.ckpt.load_enable or keeps_best):
        yield files
        return
    with tempfile.NamedTemporaryFile(dir=config.ckpt.path) as probe:
        yield files | {f"--ckpt.path {config.ckpt.path}": probe.name}
