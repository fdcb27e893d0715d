"""The reference model of a KL term as a Ray actor: OpenRLHF's, with log-probs computed in chunks."""

from openrlhf.trainer.ray.launcher import ReferenceModelActor

from prepo_rlhf.backends import remote_code
from prepo_rlhf.backends.subclassing import plain_class, specialise
from prepo_rlhf.ray.policy_model import PolicyModel
from prepo_rlhf.ray.strategy import Strategy


class ReferenceActor(plain_class(ReferenceModelActor)):
    """One rank of the reference model."""

    def init_model_from_pretrained(self, strategy: Strategy, pretrain: str) -> None:
        if not strategy.args.actor.trust_remote_code:
            remote_code.refuse()
        super().init_model_from_pretrained(strategy, pretrain)
        specialise(self.model, PolicyModel)
