"""A training command tried in this process, up to where Ray would start."""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.trainer import preflight
from prepo_rlhf.trainer.preflight import Prepared


@dataclass
class Attempt:
    """What came of a command line: either `config` and `prepared`, or a refusal, whose `message` the user reads."""

    message: str
    warned: str
    config: Config | None = None
    prepared: Prepared | None = None

    @property
    def refused(self) -> bool:
        """The command ends with exit code 2, before anything is started."""
        return self.prepared is None


def attempt(arguments: list[str]) -> Attempt:
    """Do all that `prepo_rlhf.cli.train_prepo_ray` does before Ray starts; any error but a refusal passes through."""
    out = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(out), redirect_stderr(out):
        warnings.simplefilter("always")
        try:
            config = job_config(arguments)
            prepared = preflight.prepare(config)
        except ConfigError as error:
            return Attempt(str(error), _texts(caught))
        except SystemExit as end:  # an ill-formed flag, told on stderr
            assert end.code == 2, out.getvalue()
            return Attempt(out.getvalue(), _texts(caught))
    return Attempt(out.getvalue(), _texts(caught), config, prepared)


def _texts(caught: list[warnings.WarningMessage]) -> str:
    return "\n".join(str(warning.message) for warning in caught)
