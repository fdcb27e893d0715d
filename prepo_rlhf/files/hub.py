"""Whether the hub answers, and with it whether a model that is only a name can be had.

huggingface_hub goes on trying for half a minute where nothing listens, and for minutes where nothing answers.
Boundary: asks once, downloads nothing.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Thread

import httpx
from huggingface_hub import constants, is_offline_mode, try_to_load_from_cache
from huggingface_hub.utils import HFValidationError, get_session

SECONDS = 3.0  # for any answer


def out_of_reach(name: str, file: str) -> str:
    """`silence` where `file` of the model `name` is not here; empty if it is, or may be had.

    Names that no model of a hub can have are left to transformers, which says so at once.
    """
    with suppress(HFValidationError):
        if not isinstance(try_to_load_from_cache(name, file), str) and not is_offline_mode():
            return silence()
    return ""


def silence() -> str:
    """Of which hub, for how long; empty if it gives any answer in time."""
    if _answers(constants.ENDPOINT):
        return ""
    return f"{constants.ENDPOINT} (environment variable HF_ENDPOINT) has not answered within {SECONDS:g} s"


def stay_offline() -> None:
    """From now on only what was downloaded before is looked for; `datasets` reads it when it is first imported."""
    constants.HF_HUB_OFFLINE = True


def _answers(address: str) -> bool:
    """Whether there is any answer in time; a thread, since a limit of httpx is for each of the host's addresses."""
    answers: list[httpx.Response] = []

    def ask() -> None:
        with suppress(httpx.HTTPError, httpx.InvalidURL):
            answers.append(get_session().head(address, timeout=SECONDS))

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    return bool(answers)
