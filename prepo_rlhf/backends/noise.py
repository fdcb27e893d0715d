"""Lines of dependencies that say nothing about a job, each silenced where it is born, and no other of their library.

Written for torch 2.13, ray 2.55 and vllm 0.29; `internals.yaml` has the texts, so that a test tells when one changes.
Boundary: filters and loggers of the driver's process; what actors print is in Ray's logs, as it is.
"""

from __future__ import annotations

import logging
import re
import warnings
from typing import Literal

WARNINGS = {  # beginning of the text -> why it says nothing here
    "The given NumPy array is not writable": "torch: tensors that Ray shares between processes are read-only, and "
    "nothing here writes to them",
    "Zero-copy tensor serialization is enabled": "ray: the same tensors, when the first is handed over",
    "Tip: In future versions of Ray, Ray will no longer override accelerator": "ray: at every start, about another "
    "version than the one that a job runs on",
}
CPU_LOGGERS = {  # whose lines below WARNING say nothing on a CPU -> why
    "vllm.triton_utils.importing": "vllm: on import, that there is no Triton, which compiles for GPUs",
}
TOLD_BY_RAYLETS = "A worker died or was killed while executing a task"
"""ray: left out by RAY_DEDUP_LOGS_SKIP_REGEX, since the sentence that a job ends with says who died, and of what."""
OWN_RAY = logging.WARNING
"""ray: level of its logger where a job has said that it starts a Ray of its own ("Started a local Ray instance.")."""


def silence(backend: Literal["cpu", "cuda"]) -> None:
    """Before vLLM is imported and Ray is started."""
    for text in WARNINGS:
        warnings.filterwarnings("ignore", message=re.escape(text))
    for name in CPU_LOGGERS if backend == "cpu" else ():
        logging.getLogger(name).addFilter(_warns)  # vLLM sets the levels of its loggers anew


def _warns(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
