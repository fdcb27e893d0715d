"""Sequences without advantage are left out of the passes and of nothing else: gradients against the literal loss."""

from __future__ import annotations

from collections import Counter
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from tiny_tasks import gpu_config
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

import prepo_rlhf.ray  # noqa: F401  (makes the process ready for OpenRLHF)
from prepo_rlhf.algorithm.dealing import deal
from prepo_rlhf.algorithm.learning_signal import teaches
from prepo_rlhf.config import Config
from prepo_rlhf.ray.actor_loss import WeightedPolicyLoss, needs_advantage
from prepo_rlhf.ray.policy_actor import REPLAYED_KEY, WEIGHT_KEY, PolicyActor
from prepo_rlhf.ray.training_pass import MicroBatch
from prepo_rlhf.trainer.mini_batches import (
    TrainingPasses,
    pass_means,
    sequence_means,
    single_sequences,
    teaches_anything,
)

EPS, VOCABULARY = (0.2, 0.28), 20


def make_config(**changes: Any) -> Config:
    options = {"train.batch_size": 8, "train.micro_batch_size": 2, "train.max_tokens_per_gpu": 30}
    return gpu_config().replaced(options | {name.replace("__", "."): value for name, value in changes.items()})


def make_experiences(count: int = 16, seed: int = 0, silent: float = 0.6) -> list[Any]:
    """Micro-batches of 4 sequences in float64; of the share `silent` the advantage, or else the weight, is 0."""
    from openrlhf.trainer.ppo_utils.experience import Experience

    generator = torch.Generator().manual_seed(seed)
    experiences = []
    for _ in range(count // 4):
        lengths = torch.randint(4, 14, (4,), generator=generator)
        width = int(lengths.max())
        attention = torch.arange(width) < lengths[:, None]
        action = (attention[:, 1:]) & (torch.arange(width - 1) >= 2)
        draws = torch.rand(4, generator=generator)
        advantages = torch.randn(4, 1, generator=generator, dtype=torch.float64) * action
        advantages[draws < silent / 2] = 0.0
        weights = torch.rand(4, generator=generator) + 0.5
        weights[(draws >= silent / 2) & (draws < silent)] = 0.0
        experiences.append(
            Experience(
                sequences=torch.randint(1, VOCABULARY, (4, width), generator=generator) * attention,
                attention_mask=attention.long(), action_mask=action,
                action_log_probs=-3 * torch.rand(4, width - 1, generator=generator, dtype=torch.float64),
                advantages=advantages, total_length=lengths.double(), truncated=torch.zeros(4, dtype=torch.bool),
                info={WEIGHT_KEY: weights, "reward": draws},
            )
        )  # fmt: skip
    return experiences


def log_probs(table: Tensor, sequences: Tensor) -> Tensor:
    """[B, T - 1], of a policy whose logits depend on the token before alone."""
    following = table.log_softmax(-1)[sequences[:, :-1]]
    return following.gather(-1, sequences[:, 1:, None]).squeeze(-1)


def gradient_of_micro_batches(table: Tensor, ranks: list[list[MicroBatch]], token_mean: bool) -> list[Tensor]:
    """The gradient of each update: what the ranks have summed over their micro-batches, averaged over the ranks."""
    loss_fn = WeightedPolicyLoss(*EPS, token_level_loss=token_mean)
    totals: list[Tensor] = [torch.zeros_like(table)]
    for micro_batches in zip(*ranks, strict=True):
        assert len({micro_batch.ends_update for micro_batch in micro_batches}) == 1
        for micro_batch in micro_batches:
            given = micro_batch.experience
            loss = loss_fn(
                log_probs(table, given.sequences), given.action_log_probs, given.advantages, given.action_mask,
                weights=torch.as_tensor(given.info[WEIGHT_KEY]), dp_size=len(ranks),
                batch_num_tokens=micro_batch.num_tokens, global_batch_size=micro_batch.num_sequences,
            )[0]  # fmt: skip
            assert micro_batch.share > 0 or loss == 0
            totals[-1] += torch.autograd.grad(loss, table)[0] / len(ranks)
        if micro_batches[0].ends_update:
            totals.append(torch.zeros_like(table))
    return totals[:-1]


def literal_gradient(table: Tensor, sequences: list[Any], token_mean: bool) -> Tensor:
    """Of the mini-batch with every sequence in it, by the paper's formula."""
    responses, inputs = [], []
    for sequence in sequences:
        mask = sequence.action_mask.bool()
        current = log_probs(table, sequence.sequences[None])[0]
        inputs.append([part[mask] for part in (current, sequence.action_log_probs, sequence.advantages)])
        responses.append(int(mask.sum()))
    padded = [torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True) for parts in zip(*inputs, strict=True)]
    weights = [sequence.info[WEIGHT_KEY] for sequence in sequences]
    loss = reference.loss(*padded, responses, weights, EPS, None, token_mean, gspo=False)
    return torch.autograd.grad(loss, table)[0]


@pytest.mark.parametrize(
    ("ranks", "dynamic", "token_mean", "leave_out"), list(product((1, 2, 4), *[(False, True)] * 3))
)
def test_gradients_are_those_of_all_sequences(ranks: int, dynamic: bool, token_mean: bool, leave_out: bool) -> None:
    config = make_config(
        train__dynamic_batch_enable=dynamic, train__max_epochs=2, actor__num_nodes=1, actor__num_gpus_per_node=ranks
    )
    table = torch.randn(VOCABULARY, VOCABULARY, dtype=torch.float64, requires_grad=True)
    for seed in range(3):
        passes = TrainingPasses(config, make_experiences(16, seed), ranks, seed, leave_out)
        for order, micro_batches in zip(passes._orders(), passes, strict=True):
            actual = gradient_of_micro_batches(table, micro_batches, token_mean)
            own, per_rank = 8 // ranks, 16 // ranks
            assert len(actual) == 2
            for number, gradient in enumerate(actual):
                places = order[number * own : (number + 1) * own]
                members = [passes._sequences[rank * per_rank + place] for rank in range(ranks) for place in places]
                torch.testing.assert_close(gradient, literal_gradient(table, members, token_mean), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("ranks", "dynamic", "token_mean"), list(product((1, 2), *[(False, True)] * 2)))
def test_replayed_sequences_join_the_mini_batches(ranks: int, dynamic: bool, token_mean: bool) -> None:
    """As many updates as without, each of the formula's gradient over its own sequences and its share of the others;
    these move no sequence of the step's own to another update."""
    config = make_config(
        train__dynamic_batch_enable=dynamic, train__replay_depth=1, actor__num_nodes=1, actor__num_gpus_per_node=ranks
    )
    table = torch.randn(VOCABULARY, VOCABULARY, dtype=torch.float64, requires_grad=True)
    earlier = single_sequences(make_experiences(12, seed=5), replayed=True)[:11]
    passes = TrainingPasses(config, make_experiences(16, 3), ranks, 3, True, earlier)
    alone = TrainingPasses(config, make_experiences(16, 3), ranks, 3, True)
    (order,), (micro_batches,) = alone._orders(), passes
    actual = gradient_of_micro_batches(table, micro_batches, token_mean)
    assert list(passes._orders()) == [order] and passes.used_ratio == alone.used_ratio
    assert len(actual) == 2
    own, per_rank = 8 // ranks, 16 // ranks
    for number, gradient in enumerate(actual):
        places = order[number * own : (number + 1) * own]
        members = [alone._sequences[rank * per_rank + place] for rank in range(ranks) for place in places]
        members += [sequence for place, sequence in enumerate(earlier) if place % 2 == number]
        torch.testing.assert_close(gradient, literal_gradient(table, members, token_mean), rtol=0, atol=1e-12)
    told = [
        bool(flag)
        for of_rank in micro_batches
        for micro_batch in of_rank
        if micro_batch.share
        for flag in micro_batch.experience.info[REPLAYED_KEY]
    ]
    assert sum(told) == sum(teaches_anything(sequence) for sequence in earlier) > 0
    assert len(told) - sum(told) == alone.used_ratio * 16


def test_only_what_teaches_is_trained_on() -> None:
    experiences = make_experiences(16)
    passes = TrainingPasses(make_config(), experiences, 2, 0, True)
    expected = Counter(
        tuple(sequence[mask.bool()].tolist())
        for experience in experiences
        for sequence, mask, advantages, weight in zip(
            experience.sequences, experience.attention_mask, experience.advantages, experience.info[WEIGHT_KEY],
            strict=True,
        )
        if advantages.any() and weight
    )  # fmt: skip
    assert 0 < expected.total() < 16
    assert passes.used_ratio == expected.total() / 16
    (ranks,) = passes
    assert len({len(of_rank) for of_rank in ranks}) == 1
    trained = Counter(
        tuple(sequence[mask.bool()].tolist())
        for of_rank in ranks
        for micro_batch in of_rank
        if micro_batch.share
        for sequence, mask in zip(micro_batch.experience.sequences, micro_batch.experience.attention_mask, strict=True)
    )
    assert trained == expected


def test_a_mini_batch_with_nothing_left_takes_a_step_of_two_tokens() -> None:
    passes = TrainingPasses(make_config(), make_experiences(16, silent=1.0), 2, 0, True)
    (ranks,) = passes
    for of_rank in ranks:
        assert [(part.share, part.ends_update) for part in of_rank] == [(0.0, True)] * 2
        assert all(part.experience.sequences.shape == (1, 2) for part in of_rank)
    assert passes.used_ratio == 0


@pytest.mark.parametrize("max_epochs", [1, 3])
def test_the_order_is_that_of_openrlhfs_buffer(max_epochs: int) -> None:
    from openrlhf.trainer.ppo_utils.replay_buffer import NaiveReplayBuffer
    from torch.utils.data import DataLoader

    config = make_config(train__max_epochs=max_epochs)
    passes = TrainingPasses(config, make_experiences(16), 1, 7, False)
    buffer = object.__new__(NaiveReplayBuffer)
    buffer.items, buffer.dynamic_batch = list(range(16)), False  # type: ignore[assignment]
    torch.manual_seed(7)
    loader = DataLoader(buffer, batch_size=2, shuffle=True, drop_last=True, collate_fn=list)
    expected = [[item for batch in loader for item in batch] for _ in range(max_epochs)]
    before = torch.get_rng_state()
    assert list(passes._orders()) == expected
    assert torch.equal(torch.get_rng_state(), before)


@given(
    lengths=st.lists(st.integers(1, 50), max_size=40), ranks=st.integers(1, 5), limit=st.integers(1, 60),
    by_tokens=st.booleans(), groups=st.integers(0, 5),
)  # fmt: skip
@settings(max_examples=200)
def test_dealing(lengths: list[int], ranks: int, limit: int, by_tokens: bool, groups: int) -> None:
    members = [index % groups for index in range(len(lengths))] if groups else None
    rounds = deal(lengths, ranks, **{"max_tokens" if by_tokens else "max_sequences": limit}, groups=members)
    hands = [hand for one in rounds for hand in one]
    assert all(len(one) == ranks for one in rounds)
    assert sorted(index for hand in hands for index in hand) == list(range(len(lengths)))
    for hand in hands:
        size = sum(lengths[i] for i in hand) if by_tokens else len(hand)
        assert size <= limit or len(hand) == 1
    assert all(all(one) for one in rounds[:-1])
    if not by_tokens:
        assert len(rounds) == -(-len(lengths) // (ranks * limit))


def test_groups_are_dealt_next_to_each_other() -> None:
    """Else a prompt is computed in every micro-batch that holds one of its rollouts."""
    lengths, groups = [9, 3, 7, 8, 2, 6], ["a", "b", "a", "b", "a", "b"]
    assert deal(lengths, 1, max_sequences=3) == [[[0, 3, 2]], [[5, 1, 4]]]
    assert deal(lengths, 1, max_sequences=3, groups=groups) == [[[0, 2, 4]], [[3, 5, 1]]]


def test_a_nan_is_trained_on() -> None:
    advantages = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, float("nan")], [1.0, 0.0]])
    mask = torch.tensor([[1, 0], [1, 1], [1, 1], [1, 1]])
    assert teaches(advantages, mask, torch.tensor([1.0, 1.0, 1.0, 0.0])).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"actor__entropy_coef": 0.0}, True),
        ({"algo__kl__init_coef": 0.1}, True),  # in the reward, and so in the advantage
        ({"algo__kl__init_coef": 0.1, "algo__kl__use_loss": True}, False),
        ({"actor__entropy_coef": 0.01}, False),
        ({"actor__aux_loss_coef": 0.001}, False),
    ],
)
def test_when_there_is_no_gradient_without_advantage(changes: dict[str, Any], expected: bool) -> None:
    assert needs_advantage(make_config(**changes)) is expected


@pytest.mark.parametrize(
    ("changes", "lora_dropout", "expected"),
    [({}, None, False), ({"attention_dropout": 0.1}, None, True), ({}, 0.0, False), ({}, 0.1, True)],
)
def test_dropout_is_found(changes: dict[str, float], lora_dropout: float | None, expected: bool) -> None:
    sizes = {"vocab_size": 16, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    model: Any = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2, **changes))
    if lora_dropout is not None:
        model = get_peft_model(model, LoraConfig(target_modules="all-linear", lora_dropout=lora_dropout))
    rank = object.__new__(PolicyActor)
    rank.actor = SimpleNamespace(model=SimpleNamespace(module=model))
    assert rank.draws_in_training() is expected


def test_metrics_of_sequences_and_passes() -> None:
    experiences = make_experiences(8)
    means = sequence_means(experiences)
    rewards = torch.cat([experience.info["reward"] for experience in experiences])
    assert means["reward"] == pytest.approx(rewards.mean().item())
    assert WEIGHT_KEY not in means and means["truncated"] == 0
    first = {"policy_loss": 1.0, "ppo_kl": 0.5, "actor_lr": 0.1}
    second = {"policy_loss": 3.0, "actor_lr": 0.2}
    assert pass_means([first, second]) == {"policy_loss": 2.0, "ppo_kl": 0.5, "actor_lr": 0.2}
