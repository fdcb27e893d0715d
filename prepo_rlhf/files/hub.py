"""Whether a model that is only a name can be had: downloaded before, or from a hub that answers.

huggingface_hub goes on trying for half a minute where nothing listens, and for minutes where nothing answers.
Boundary: asks once, downloads nothing.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Thread

import httpx
from huggingface_hub import constants, is_offline_mode, try_to_load_from_cache
from huggingface_hub.utils import HFValidationError, get_session

from prepo_rlhf.files.model_folder import ModelFault

SECONDS = 3.0  # for any answer


def check_within_reach(name: str, file: str) -> None:
    """Raise ModelFault if `file` of the model `name` is not here, and the hub does not answer.

    Names that no model of a hub can have are left to transformers, which says so at once.
    """
    with suppress(HFValidationError):
        if isinstance(try_to_load_from_cache(name, file), str) or is_offline_mode() or _answers(constants.ENDPOINT):
            return
        raise ModelFault(
            f"is no folder and was not downloaded before, and the hub {constants.ENDPOINT} (environment variable "
            f"HF_ENDPOINT) has not answered within {SECONDS:g} s: check the network, or download the model first"
        )


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
