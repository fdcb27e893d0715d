"""The reference model of a KL term as a Ray actor: OpenRLHF's, with log-probs computed in chunks."""

from openrlhf.trainer.ray.launcher import ReferenceModelActor

from prepo_rlhf.backends import remote_code
from prepo_rlhf.backends.subclassing import plain_class, specialise
from prepo_rlhf.ray import progress, stacks
from prepo_rlhf.ray.policy_model import PolicyModel
from prepo_rlhf.ray.strategy import Strategy

_Base = plain_class(ReferenceModelActor)


class ReferenceActor(_Base):
    """One rank of the reference model."""

    forward = progress.counted(_Base.forward)

    def init_model_from_pretrained(self, strategy: Strategy, pretrain: str) -> None:
        progress.tell()
        stacks.keep_ready()
        if not strategy.args.actor.trust_remote_code:
            remote_code.refuse()
        super().init_model_from_pretrained(strategy, pretrain)
        specialise(self.model, PolicyModel)
