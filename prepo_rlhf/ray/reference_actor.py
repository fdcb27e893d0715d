"""The reference model of a KL term as a Ray actor: OpenRLHF's as it is, on the job's backend."""

from openrlhf.trainer.ray.launcher import ReferenceModelActor

from prepo_rlhf.ray import plain_class


class ReferenceActor(plain_class(ReferenceModelActor)):
    """One rank of the reference model."""
