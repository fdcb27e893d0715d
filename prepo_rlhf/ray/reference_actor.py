"""The reference model of a KL term as a Ray actor: OpenRLHF's, whose log-probs come without all logits."""

from typing import Any

from openrlhf.trainer.ray.launcher import ReferenceModelActor

from prepo_rlhf.ray import plain_class
from prepo_rlhf.ray.policy_model import PolicyModel


class ReferenceActor(plain_class(ReferenceModelActor)):
    """One rank of the reference model."""

    def init_model_from_pretrained(self, *args: Any, **kwargs: Any) -> None:
        super().init_model_from_pretrained(*args, **kwargs)
        self.model.__class__ = PolicyModel
