"""Attention over packed sequences against the same sequences with padding: values and gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import make_tiny_model
from transformers import AutoModelForCausalLM

from prepo_rlhf.backends import packed_attention

LENGTHS = torch.tensor([7, 1, 30, 12, 30, 2])
MASK = torch.arange(30) < LENGTHS[:, None]
POSITIONS = MASK.long().cumsum(-1) - 1


def load(path: str, attention: str) -> torch.nn.Module:
    packed_attention.register()
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation=attention)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_packed_and_padded_sequences_agree(family: str, tmp_path: Path) -> None:
    path = make_tiny_model(tmp_path / family, ["a few words"], family=family)
    padded, packed = load(path, "sdpa"), load(path, packed_attention.NAME)
    ids = torch.randint(3, padded.config.vocab_size, MASK.shape, generator=torch.Generator().manual_seed(0))
    positions = POSITIONS.masked_fill(~MASK, 1)
    logits = {
        padded: padded(ids, attention_mask=MASK.long(), position_ids=positions).logits[MASK],
        packed: packed(ids[MASK][None], attention_mask=None, position_ids=POSITIONS[MASK][None]).logits[0],
    }
    torch.testing.assert_close(logits[packed], logits[padded])
    for model, values in logits.items():
        values.logsumexp(-1).square().sum().backward()
        assert all(weight.grad is not None for weight in model.parameters())
    for one, other in zip(packed.parameters(), padded.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_prefix_that_sequences_share(family: str, tmp_path: Path) -> None:
    """Two sequences read the first 9 tokens of a third, between some that share nothing."""
    path = make_tiny_model(tmp_path / family, ["a few words"], family=family)
    plain, shared = load(path, packed_attention.NAME), load(path, packed_attention.NAME)
    ids = torch.randint(3, plain.config.vocab_size, MASK.shape, generator=torch.Generator().manual_seed(0))
    ids[[3, 4], :9] = ids[2, :9]
    needed = MASK.clone()
    needed[[3, 4], :9] = False
    logits = {plain: torch.zeros(0), shared: torch.zeros(0)}
    for model, tokens in ((plain, MASK), (shared, needed)):
        values = model(ids[tokens][None], attention_mask=None, position_ids=POSITIONS[tokens][None]).logits[0]
        logits[model] = values[needed[tokens]]
        logits[model].logsumexp(-1).square().sum().backward()
    torch.testing.assert_close(logits[shared], logits[plain])
    for one, other in zip(shared.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)


def test_what_it_cannot_do_is_refused() -> None:
    states, positions = torch.zeros(1, 2, 8, 4), torch.arange(8)[None]
    rows = states.expand(2, -1, -1, -1)
    with pytest.raises(NotImplementedError, match="Module does not tell where packed sequences start"):
        packed_attention.packed_sdpa(torch.nn.Module(), rows, rows, rows, None, position_ids=positions.expand(2, -1))
    for wish in ({"sliding_window": 4}, {"softcap": 30.0}):
        with pytest.raises(NotImplementedError, match="needs flash-attn"):
            packed_attention.packed_sdpa(
                torch.nn.Module(), states, states, states, None, position_ids=positions, **wish
            )
