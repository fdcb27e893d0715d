"""Which Ray a job runs on: the one that `RAY_ADDRESS` or `ray job submit` names, or one of its own.

Boundary: reads the environment, and asks a Ray's head what there is, for seconds at most; joins and starts nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from ray._private import services
from ray._private.grpc_utils import init_grpc_channel
from ray._private.ray_constants import GLOBAL_GRPC_OPTIONS
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.core.generated import gcs_pb2, gcs_service_pb2, gcs_service_pb2_grpc
from ray.exceptions import AuthenticationError

from prepo_rlhf.config import ConfigError

PATIENCE = 10  # seconds in which a head that is named answers
GLANCE = 3  # seconds for one that nobody has named
OWN, FOUND = "local", "auto"
_FORMS = (
    "give HOST:PORT of a Ray head (6379 is the usual port), auto for the Ray of this machine, local for one of the "
    "job's own, or unset RAY_ADDRESS"
)
_SUBMIT = "`ray job submit --address=http://HOST:8265 -- python3 -m ...`"
_HOST = re.compile(r"[\w.-]+|\[[0-9A-Fa-f:.]+\]")


def to_join(backend: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """HOST:PORT of the Ray that the job is to join, which answers; None for one of its own.

    Raises:
        ConfigError: what the environment names is no address, or no Ray answers there; or none is named, and the
            machine's GPUs are those of a Ray that already runs.
    """
    named = named_ray(environment)
    if named == OWN:
        return None
    if named is None:
        refuse_beside(services.find_gcs_addresses(), backend)
        return None
    address = _found() if named == FOUND else named
    if problem := head_problem(address):
        raise ConfigError(f"RAY_ADDRESS {address}: no Ray answers there ({problem}); start it, or unset RAY_ADDRESS")
    return address


def _found() -> str:
    """The Ray of this machine, as Ray itself finds it."""
    try:
        found = services.get_ray_address_from_environment(FOUND, None)
    except ConnectionError:
        found = None
    if found is None:
        raise ConfigError(
            "RAY_ADDRESS auto: no Ray runs on this machine; start it with `ray start --head`, or unset RAY_ADDRESS"
        )
    return found


def named_ray(environment: Mapping[str, str]) -> str | None:
    """The HOST:PORT, `auto` or `local` that the environment names; None if it names none.

    Raises ConfigError for anything else that it holds, with what to give instead.
    """
    address = environment.get("RAY_ADDRESS", "").strip()
    if not address:
        return FOUND if RAY_JOB_CONFIG_JSON_ENV_VAR in environment else None  # set by `ray job submit`
    if address in (OWN, FOUND):
        return address
    scheme, separator, rest = address.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        raise ConfigError(
            f"RAY_ADDRESS {address}: this is where jobs are submitted. Submit it, `ray job submit --address={address} "
            "-- python3 -m ...`, or give the head's own address, such as "
            f"RAY_ADDRESS={rest.partition('/')[0].rpartition(':')[0] or 'HOST'}:6379, on a machine of the cluster"
        )
    if separator and scheme.lower() == "ray":
        raise ConfigError(
            f"RAY_ADDRESS {address}: a job cannot run through Ray Client. Submit it, {_SUBMIT}, or give HOST:PORT of "
            "the head on a machine of the cluster"
        )
    host, colon, port = address.rpartition(":")
    if separator or not colon or not _HOST.fullmatch(host):
        raise ConfigError(f"RAY_ADDRESS {address}: not an address; {_FORMS}")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigError(f"RAY_ADDRESS {address}: {port or 'nothing'} is not a port; {_FORMS}")
    return address


def head_problem(address: str, seconds: float = PATIENCE) -> str | None:
    """Why nobody could join a Ray at `address`, for the end of a sentence; None if one answers within `seconds`."""
    try:
        _nodes(address, seconds)
    except AuthenticationError as error:
        return f"the token for it is missing or wrong: {error.message}"
    except grpc.RpcError as error:
        return _reason(error.code(), error.details() or "", seconds)
    return None


def _reason(code: grpc.StatusCode, details: str, seconds: float) -> str:
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return "it asks for a token: set RAY_AUTH_MODE=token, and the token of that cluster"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"no answer in {seconds:g} s"
    if "refused" in details:
        return "the connection is refused"
    if "resolv" in details or "lookup" in details:
        return "the host's name is unknown"
    if code is grpc.StatusCode.UNIMPLEMENTED or "HTTP" in details:
        return f"something else does; to a dashboard a job goes by {_SUBMIT}"
    return details.rpartition(": ")[2] or code.name


def refuse_beside(addresses: Iterable[str], backend: str) -> None:
    """Refuse to start a Ray of the job's own beside one of `addresses` that has GPUs: both would hand out the same."""
    for address in addresses:
        if _has_gpus(address, backend):
            raise ConfigError(
                f"a Ray with GPUs runs on this machine ({address}), and nothing says whether the job is for it: set "
                f"RAY_ADDRESS=auto to join it, or submit the job, {_SUBMIT}; or set RAY_ADDRESS=local for a Ray of the "
                "job's own, which takes all GPUs that CUDA_VISIBLE_DEVICES shows"
            )


def _has_gpus(address: str, backend: str) -> bool:
    try:
        resources = [dict(node.resources_total) for node in _nodes(address, GLANCE)]
    except AuthenticationError:
        return backend == "cuda"
    except grpc.RpcError as error:  # on its way down, or another's: with a token it may well have this machine's GPUs
        return backend == "cuda" and error.code() is grpc.StatusCode.UNAUTHENTICATED
    return any(_real_gpus(there, backend) for there in resources)


def _real_gpus(there: Mapping[str, float], backend: str) -> bool:
    """Whether a node's GPUs are more than a number given to `ray start --num-gpus` on a CPU: Ray knows their kind."""
    known = backend == "cuda" or any(name.startswith("accelerator_type:") for name in there)
    return there.get("GPU", 0) > 0 and known


def _nodes(address: str, seconds: float) -> list[Any]:
    """The living nodes, as the head at `address` tells them. Raises grpc.RpcError if it does not within `seconds`."""
    request = gcs_service_pb2.GetAllNodeInfoRequest()  # pyrefly: ignore[missing-attribute]  # made at run time
    channel: Any = init_grpc_channel(address, GLOBAL_GRPC_OPTIONS)
    with channel:
        answer = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel).GetAllNodeInfo(request, timeout=seconds)
    alive = gcs_pb2.GcsNodeInfo.ALIVE  # pyrefly: ignore[missing-attribute]
    return [node for node in answer.node_info_list if node.state == alive]
