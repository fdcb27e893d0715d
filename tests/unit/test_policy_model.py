"""Log-probs and entropies without all logits: the same as with them, gradients included, for every kind of head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GraniteConfig,
    LlamaConfig,
    PretrainedConfig,
    Qwen2Config,
)

VOCABULARY = 96
SHAPE: dict[str, Any] = dict(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=64, initializer_range=0.3, pad_token_id=0, bos_token_id=1,
    eos_token_id=2,
)  # fmt: skip
FAMILIES: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**SHAPE),
    "tied-embeddings": lambda: Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "soft-cap": lambda: Gemma2Config(**SHAPE, head_dim=16, final_logit_softcapping=2.0, attn_logit_softcapping=None),
    "scale": lambda: CohereConfig(**SHAPE, logit_scale=0.3),
    "divisor": lambda: GraniteConfig(**SHAPE, logits_scaling=3.0),
}


def make_model(path: Path, family: str) -> str:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(FAMILIES[family]()).float().save_pretrained(path)
    return str(path)


def make_batch() -> dict[str, torch.Tensor]:
    """Four prompts with responses between padding, of different lengths."""
    generator = torch.Generator().manual_seed(1)
    length, action_length = 20, 12
    sequences = torch.randint(3, VOCABULARY, (4, length), generator=generator)
    attention, actions = torch.zeros(4, length, dtype=torch.long), torch.zeros(4, action_length, dtype=torch.long)
    for row, (start, stop) in enumerate([(0, 20), (3, 18), (5, 12), (2, 20)]):
        attention[row, start:stop] = 1
        actions[row, : stop - length + action_length] = 1
    return {"sequences": sequences * attention, "action_mask": actions, "attention_mask": attention}


def statistics(model: Any, batch: dict[str, torch.Tensor]) -> tuple[Any, ...]:
    """Log-probs, entropies, and the gradients of a loss of both."""
    log_probs, output = model(**batch, return_output=True, return_entropy=True)
    mask = batch["action_mask"]
    entropies = output.entropy[:, -mask.shape[1] :] * mask
    weights = torch.linspace(-1, 2, mask.numel()).view_as(mask)
    (log_probs * weights + 0.3 * entropies * weights.flip(0)).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return log_probs.detach(), entropies.detach(), gradients


def assert_same(path: str, monkeypatch: pytest.MonkeyPatch, in_full: bool = False, **options: Any) -> None:
    from prepo_rlhf.backends.subclassing import specialise
    from prepo_rlhf.output_head import chunked
    from prepo_rlhf.ray.policy_model import Actor, PolicyModel

    monkeypatch.setattr(chunked, "tokens_at_once", lambda *_: 7)  # several chunks
    options = {"attn_implementation": "sdpa", "param_dtype": "fp32", "temperature": 0.7} | options
    model, batch = Actor(path, **options), make_batch()
    expected = statistics(model, batch)
    whole = {"return_logprobs": True, "return_output": True, "return_entropy": True}
    scored, output = model(batch["sequences"], attention_mask=batch["attention_mask"], **whole)
    uncertain = output.entropy
    specialise(model, PolicyModel)
    actual = statistics(model, batch)
    assert model._knows_head is not in_full
    torch.testing.assert_close(actual[:2], expected[:2], rtol=0, atol=1e-4)
    assert actual[2].keys() == expected[2].keys() and "forward" not in vars(model.model.get_output_embeddings())
    for name, gradient in expected[2].items():
        torch.testing.assert_close(actual[2][name], gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item())
    followed = batch["attention_mask"][:, 1:] * batch["attention_mask"][:, :-1]
    again, output = model(batch["sequences"], attention_mask=batch["attention_mask"], **whole)
    torch.testing.assert_close(again * followed, scored * followed, rtol=0, atol=1e-4)
    torch.testing.assert_close(output.entropy * followed, uncertain * followed, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_head(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same(make_model(tmp_path, family), monkeypatch)


def test_packed_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_model(tmp_path, "llama")
    assert_same(path, monkeypatch, attn_implementation="packed_sdpa", packing_samples=True)


@pytest.mark.parametrize("sharing", [True, False, None])
def test_a_prompt_is_computed_once(
    sharing: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three rollouts of a prompt beside another: values and gradients as without sharing, and fewer tokens. None: where
    a model does not find the shared prompt, the first pass sees it, and each rollout has its own."""
    from prepo_rlhf.backends import packed_attention
    from prepo_rlhf.backends.subclassing import specialise
    from prepo_rlhf.ray.policy_model import Actor, PolicyModel

    batch = make_batch()
    for row in (1, 2):  # the same six tokens before the first response, at other places between the padding
        batch["sequences"][row, row + 2 : row + 8] = batch["sequences"][3, 2:8]
        batch["attention_mask"][row, row + 2 : row + 8] = 1
        batch["attention_mask"][row, : row + 2] = 0
        batch["action_mask"][row, 0:row] = 0
    batch["sequences"] *= batch["attention_mask"]
    path = make_model(tmp_path, "llama")
    options: dict[str, Any] = {"attn_implementation": "packed_sdpa", "packing_samples": True, "param_dtype": "fp32"}
    model = Actor(path, temperature=0.7, **options)
    expected = statistics(model, batch)
    specialise(model, PolicyModel)
    model.may_share_prompts = sharing is not False
    if sharing is None:
        monkeypatch.setattr(packed_attention, "_share", lambda states, _: states)
    statistics(model, batch)  # gets to know the model
    assert ("each sequence computes its own" in capsys.readouterr().out) == (sharing is None)
    counted: list[int] = []
    model.model.model.embed_tokens.register_forward_hook(lambda _, given, __: counted.append(given[0].numel()))
    actual = statistics(model, batch)
    assert counted == [int(batch["attention_mask"].sum()) - (2 * 5 if sharing else 0)]
    torch.testing.assert_close(actual[:2], expected[:2], rtol=0, atol=1e-4)
    for name, gradient in expected[2].items():
        torch.testing.assert_close(actual[2][name], gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item())


@pytest.mark.parametrize(("modules", "in_full"), [(["q_proj", "up_proj"], False), (["q_proj", "lm_head"], True)])
def test_adapters(modules: list[str], in_full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Around the head they are part of the model; in the head they are more than a product, and all logits are made."""
    path = make_model(tmp_path, "llama")
    assert_same(path, monkeypatch, in_full=in_full, lora_rank=4, target_modules=modules)


def test_logits_that_are_more_than_the_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that does to its logits what we know nothing of is found out."""
    from transformers import LlamaForCausalLM

    plain = LlamaForCausalLM.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = plain(self, *args, **kwargs)
        output["logits"] = output["logits"] * 1.5
        return output

    monkeypatch.setattr(LlamaForCausalLM, "forward", forward)
    assert_same(make_model(tmp_path, "llama"), monkeypatch, in_full=True)
