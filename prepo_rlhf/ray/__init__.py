"""What runs as Ray actors: the policy, the reference model, the rollout engines, and the weights between them.

Importing this package makes the process ready for OpenRLHF on the job's backend, so it comes before any
import of OpenRLHF.
"""

from __future__ import annotations

from typing import Any

from prepo_rlhf import backends

backends.activate()


def plain_class(actor_class: Any) -> type:
    """The class behind OpenRLHF's `@ray.remote` one, to derive from.

    The derived classes are not decorated: Ray ships a decorated class by value, and so would import OpenRLHF
    before this package. `placement` makes them actors with `ray.remote(...)`.
    """
    return actor_class.__ray_metadata__.modified_class.__ray_actor_class__
