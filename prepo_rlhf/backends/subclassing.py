"""Subclasses where OpenRLHF has no hook for one: of classes behind `@ray.remote`, and of objects that it constructs.

Written for openrlhf 0.11.2 and ray 2.55.0.
"""

from __future__ import annotations

from typing import Any


def plain_class(actor_class: Any) -> type:
    """The class behind OpenRLHF's `@ray.remote` one, to derive from.

    The derived classes are not decorated: Ray ships a decorated class by value, and so would import OpenRLHF
    before `prepo_rlhf.ray`. `placement` makes them actors with `ray.remote(...)`.
    """
    return actor_class.__ray_metadata__.modified_class.__ray_actor_class__


def specialise(made: object, subclass: type) -> None:
    """Turn an object that OpenRLHF constructs in its `init_model_from_pretrained` into one of a subclass.

    Raises:
        RuntimeError: OpenRLHF made something else than what the subclass derives from.
    """
    base = subclass.__base__
    if type(made) is not base or subclass.__init__ is not base.__init__:
        raise RuntimeError(
            f"{subclass.__name__} cannot stand in for openrlhf's {type(made).__name__}: review {subclass.__module__}"
        )
    made.__class__ = subclass
