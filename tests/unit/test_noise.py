"""What is silenced is silent, and nothing else of the same libraries is."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator

import pytest

from prepo_rlhf.backends import noise


@pytest.fixture(autouse=True)
def filters() -> Iterator[None]:
    """Loggers keep the filters that they had before a test."""
    kept = [(logger, [*logger.filters]) for logger in map(logging.getLogger, noise.CPU_LOGGERS)]
    for logger, _ in kept:
        logger.filters.clear()
    yield
    for logger, before in kept:
        logger.filters[:] = before


def test_warnings_by_the_beginning_of_their_texts() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        noise.silence("cuda")
        for text in (*noise.WARNINGS, "Tip: In future versions of Ray, tensors are lost", "a tensor is not writable"):
            warnings.warn(f"{text} and more", FutureWarning, stacklevel=1)
    assert [str(one.message) for one in shown] == [
        "Tip: In future versions of Ray, tensors are lost and more",
        "a tensor is not writable and more",
    ]


def test_loggers_on_a_cpu_alone(caplog: pytest.LogCaptureFixture) -> None:
    (name,) = noise.CPU_LOGGERS
    logger = logging.getLogger(name)
    caplog.set_level(logging.INFO)
    noise.silence("cuda")
    logger.info("no Triton on a GPU")
    noise.silence("cpu")
    logger.info("no Triton on a CPU")
    logger.warning("Triton is broken")
    logging.getLogger("vllm").info("something else of vLLM")
    assert [record.message for record in caplog.records] == [
        "no Triton on a GPU", "Triton is broken", "something else of vLLM",
    ]  # fmt: skip
