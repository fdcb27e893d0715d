"""A step's experience as passes over mini-batches, and those as micro-batches of the policy's ranks.

A sequence whose weighted advantage is 0 at every token has no gradient. It is left out of training, not of the
denominators: losses, gradients and updates are those of the whole batch.
Sequences of earlier steps (`--train.replay_depth`) join the mini-batches, which are as many as without them.
Boundary: runs in the driver and only sorts; `ray.training_pass` trains.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from statistics import fmean
from typing import Any

import torch
from openrlhf.trainer.ppo_utils.experience import (
    Experience,
    balance_experiences,
    make_experience_batch,
    remove_padding_in_sequences,
    split_experience_batch,
)
from torch.utils.data import DataLoader

from prepo_rlhf.algorithm.dealing import deal
from prepo_rlhf.algorithm.learning_signal import teaches
from prepo_rlhf.config import Config
from prepo_rlhf.ray.policy_actor import REPLAYED_KEY, WEIGHT_KEY
from prepo_rlhf.ray.training_pass import MicroBatch

OF_LAST_UPDATE = ("actor_lr", "actor_grad_norm")


class TrainingPasses:
    """The passes over a step's rollouts (`--train.max_epochs`), each as a list of micro-batches for every rank.

    Attributes:
        used_ratio: share of the step's sequences that are trained on.
    """

    def __init__(
        self,
        config: Config,
        experiences: Sequence[Experience],
        ranks: int,
        seed: int,
        leave_out: bool,
        replayed: Sequence[Experience] = (),
    ) -> None:
        """Args:
        ranks: data-parallel ones.
        seed: of the order of the sequences.
        leave_out: whether sequences without advantage have no gradient.
        replayed: sequences of earlier steps, dealt out evenly to the mini-batches of the step's own.
        """
        self._config, self._ranks, self._seed = config, ranks, seed
        own = _sequences(config, experiences)
        self._per_rank = len(own) // ranks
        self._sequences = [*own, *replayed]
        self._shares_prompts = config.may_share_prompts
        self._replayed = range(len(own), len(self._sequences))
        self._used = [not leave_out or teaches_anything(sequence) for sequence in self._sequences]
        self.used_ratio = fmean(self._used[: len(own)])

    def __iter__(self) -> Iterator[list[list[MicroBatch]]]:
        share = self._config.train.batch_size // self._ranks
        for order in self._orders():
            micro_batches: list[list[MicroBatch]] = [[] for _ in range(self._ranks)]
            starts = range(0, self._per_rank - share + 1, share)
            for update, start in enumerate(starts):
                own = order[start : start + share]
                members = [rank * self._per_rank + place for rank in range(self._ranks) for place in own]
                members += self._replayed[update :: len(starts)]
                for of_rank, more in zip(micro_batches, self._mini_batch(members), strict=True):
                    of_rank += more
            yield micro_batches

    def _orders(self) -> Iterator[list[int]]:
        """For each pass, the order in which every rank takes its sequences: by the draws of OpenRLHF's data loader."""
        ds, train = self._config.ds, self._config.train
        shuffle = not train.dynamic_batch_enable and ds.ring_attn_size == 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            places: Any = range(self._per_rank)  # a sequence is all that a loader needs
            loader = DataLoader(places, batch_size=None, shuffle=shuffle)
            orders = [[int(place) for place in loader] for _ in range(train.max_epochs)]
        yield from orders

    def _mini_batch(self, members: list[int]) -> list[list[MicroBatch]]:
        """The micro-batches of one update, for every rank; at least one, since each takes part in its collectives."""
        used = [self._sequences[member] for member in members if self._used[member]]
        lengths = [len(sequence.sequences) for sequence in used]
        prompts = [_prompt(sequence) for sequence in used] if self._shares_prompts else None
        rounds = deal(lengths, self._ranks, *self._limits(), prompts) or [[[] for _ in range(self._ranks)]]
        response = [int(self._sequences[member].action_mask.sum()) for member in members]
        stand_in = _stand_in(self._sequences[members[0]])
        return [
            [
                MicroBatch(
                    make_experience_batch([used[i] for i in dealt[rank]] or [stand_in]),
                    num_tokens=sum(response),
                    num_sequences=sum(length > 0 for length in response),
                    share=len(dealt[rank]) / max(sum(len(one[rank]) for one in rounds), 1),
                    ends_update=dealt is rounds[-1],
                )
                for dealt in rounds
            ]
            for rank in range(self._ranks)
        ]

    def _limits(self) -> tuple[float, float]:
        """Most sequences and most tokens of a micro-batch."""
        train, ds = self._config.train, self._config.ds
        if train.dynamic_batch_enable:
            return float("inf"), train.max_tokens_per_gpu * ds.ring_attn_size
        return train.micro_batch_size, float("inf")


def sequence_means(experiences: Sequence[Experience]) -> dict[str, float]:
    """Means over all sequences of what OpenRLHF measures of each: reward, return, lengths and what else is there."""
    values: dict[str, list[torch.Tensor]] = defaultdict(list)
    for experience in experiences:
        named = {field.name: getattr(experience, field.name) for field in fields(Experience)}
        episode = {
            name: value
            for name, value in named.items()
            if Experience.is_episode_tensor_field(name) and name not in ("rewards", "scores")
        }
        for name, value in (episode | experience.info).items():
            if value is not None and name != WEIGHT_KEY:
                values[name].append(torch.as_tensor(value).double().flatten())
    return {name: torch.cat(parts).mean().item() for name, parts in values.items()}


def pass_means(passes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The measures of all passes: means over those that have one; of the last update, the last."""
    names = {name for done in passes for name in done}
    found = {name: [done[name] for done in passes if name in done] for name in sorted(names)}
    return {name: values[-1] if name in OF_LAST_UPDATE else fmean(values) for name, values in found.items()}


def _sequences(config: Config, experiences: Sequence[Experience]) -> list[Experience]:
    """One experience a sequence, the first rank's first."""
    if config.train.dynamic_batch_enable:
        experiences = balance_experiences(experiences, config)
    return single_sequences(experiences)


def single_sequences(experiences: Sequence[Experience], replayed: bool = False) -> list[Experience]:
    """One experience a sequence, without padding; of `info` only the weight, which the loss needs, and `replayed`."""
    single = [sequence for experience in experiences for sequence in split_experience_batch(experience)]
    for sequence in single:
        sequence.info = {WEIGHT_KEY: float(sequence.info[WEIGHT_KEY]), REPLAYED_KEY: replayed}
    return remove_padding_in_sequences(single)


def teaches_anything(sequence: Experience) -> bool:
    """Whether a single sequence has a weighted advantage other than 0."""
    weight = torch.tensor([sequence.info[WEIGHT_KEY]])
    return bool(teaches(sequence.advantages[None], sequence.action_mask[None], weight))


def _prompt(sequence: Experience) -> tuple[int, ...]:
    """The tokens of a single sequence before its first action."""
    return tuple(sequence.sequences[: int(sequence.action_mask.long().argmax()) + 1].tolist())


def _stand_in(sequence: Experience) -> Experience:
    """Its first two tokens without advantage: the least with which a rank that has nothing takes part in a pass."""
    tokens = ("sequences", "attention_mask")
    steps = {field.name: getattr(sequence, field.name) for field in fields(Experience)}
    cut = {
        name: value[: 2 if name in tokens else 1]
        for name, value in steps.items()
        if Experience.is_step_tensor_field(name) and value is not None
    }
    cut |= {"advantages": torch.zeros_like(cut["advantages"]), "action_mask": torch.ones_like(cut["action_mask"])}
    return replace(sequence, **cut)
