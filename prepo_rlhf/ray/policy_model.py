"""OpenRLHF's Actor, with log-probs and entropies computed from hidden states in chunks: see `output_head/`.

During a forward pass the output head is replaced: it returns the log-prob and entropy of each token wanted, in place of
its logits. Packing, gradient checkpointing and adapters of transformers work as before.
Boundary: one forward pass of one rank.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from openrlhf.models.actor import Actor
from openrlhf.models.ring_attn_utils import (
    gather_and_pad_tensor,
    get_tensor_in_current_ring_attn_rank,
    unpad_and_slice_tensor,
)
from torch import Tensor, nn

from prepo_rlhf.backends import transformers_head
from prepo_rlhf.output_head.chunked import head_statistics
from prepo_rlhf.output_head.head import OutputHead
from prepo_rlhf.ray.shared_prompts import needed_tokens

# Of a sequence's log-probs, against those of the model's own logits, in nats: in float32, and in what is rounded more.
TOLERANCE, LOW_PRECISION_TOLERANCE = 1e-3, 0.1


class PolicyModel(Actor):
    """The policy's log-probs and entropies. With an output head of another kind OpenRLHF's forward computes them, from
    the full logits.

    Attributes:
        may_share_prompts: whether a prompt's tokens may be computed once for the packed sequences that begin with it,
            which takes `backends.packed_attention`.
    """

    may_share_prompts: bool = False
    _knows_head: bool | None = None  # checked in the first pass
    _shares_prompts: bool = False

    def forward(
        self,
        sequences: Tensor,
        action_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_output: bool = False,
        allgather_logits: bool = False,
        return_logprobs: bool = False,
        ring_attn_group: Any = None,
        packed_seq_lens: list[int] | None = None,
        return_entropy: bool = False,
        **others: Any,
    ) -> Any:
        """As OpenRLHF's, except for `output`: in place of logits it holds log-probs and entropies; its entropies
        [B, T - 1], in nats at the sampling temperature, are 0 where no log-prob is asked for."""
        assert attention_mask is not None  # OpenRLHF's forward needs it too
        if self._knows_head is None:
            longest = attention_mask.sum(dim=-1).argmax(keepdim=True)
            self._get_to_know(sequences[longest], attention_mask[longest], ring_attn_group)
        if not self._knows_head or (action_mask is None and not return_logprobs):
            logits_way: Callable[..., Any] = super().forward
            return logits_way(
                sequences, action_mask, attention_mask, return_output, allgather_logits, return_logprobs,
                ring_attn_group, packed_seq_lens, return_entropy, **others,
            )  # fmt: skip
        wanted = attention_mask.bool()
        if action_mask is not None:
            wanted = torch.zeros_like(wanted)
            wanted[:, -action_mask.shape[1] - 1 : -1] = action_mask.bool()
        log_probs, entropies, output = self._statistics(sequences, attention_mask, wanted, ring_attn_group)
        output.entropy = entropies
        if action_mask is not None:
            log_probs = log_probs[:, -action_mask.shape[1] :]
        return (log_probs, output) if return_output else log_probs

    def _statistics(
        self, sequences: Tensor, attention_mask: Tensor, wanted: Tensor, ring_attn_group: Any
    ) -> tuple[Tensor, Tensor, Any]:
        """Log-probs and entropies, each [B, T - 1], at the positions wanted [B, T] and 0 elsewhere."""
        if self.packing_samples:
            tokens, positions, targets, padding, indices = unpad_and_slice_tensor(
                sequences, attention_mask, ring_attn_group
            )
            if self._shares_prompts:
                needed = needed_tokens(sequences, attention_mask, wanted).flatten()[indices]
                indices = indices[needed]
                tokens, positions, targets = (part[:, needed] for part in (tokens, positions, targets))
            layout = (ring_attn_group, padding, indices, *sequences.shape)
            mask, wanted = None, wanted.flatten()[indices][None]
            if ring_attn_group is not None:
                wanted = cast(Tensor, get_tensor_in_current_ring_attn_rank(wanted, ring_attn_group, 0)[0])
        else:
            layout = None
            tokens, targets, mask = sequences, sequences.roll(shifts=-1, dims=1), attention_mask
            positions = (attention_mask.long().cumsum(-1) - 1).masked_fill(attention_mask == 0, 1)
        model = _transformer(self.model)
        head = _statistics_head(model, targets, wanted, self.temperature)
        with transformers_head.replaced_head(model, head):
            output = self.model(tokens, attention_mask=mask, position_ids=positions)
        log_probs, entropies = output["logits"].unbind(dim=-1)
        if layout is not None:
            log_probs, entropies = (gather_and_pad_tensor(part, *layout) for part in (log_probs, entropies))
        return log_probs[:, :-1], entropies[:, :-1], output

    @torch.no_grad()
    def _get_to_know(self, sequences: Tensor, attention_mask: Tensor, ring_attn_group: Any) -> None:
        """Whether one sequence's log-probs equal those of OpenRLHF's forward, and once more where it shares its first
        half with itself. All ranks call it in the same pass: under ZeRO-3 a forward is collective."""
        model = _transformer(self.model)
        name, head = type(model).__name__, model.get_output_embeddings()
        self._knows_head = (
            type(head) is nn.Linear and "forward" not in vars(head) and not getattr(self, "is_vlm", False)
        )
        if not self._knows_head:
            return
        logits_way: Callable[..., Any] = super().forward
        expected = logits_way(
            sequences, attention_mask=attention_mask, return_logprobs=True, ring_attn_group=ring_attn_group
        )
        wanted = attention_mask.bool()
        tolerance = TOLERANCE if head.weight.dtype == torch.float32 else LOW_PRECISION_TOLERANCE

        def agrees(copies: int, wanted: Tensor) -> bool:
            batch = [part.expand(copies, -1) for part in (sequences, attention_mask, wanted)]
            actual = self._statistics(batch[0], batch[1], batch[2], ring_attn_group)[0]
            followed = (batch[2][:, :-1] * batch[1][:, 1:]).bool()
            return torch.allclose(actual[followed], expected.expand(copies, -1)[followed], rtol=0, atol=tolerance)

        self._knows_head = agrees(1, wanted)
        if not self._knows_head:
            print(f"{name}: its logits are not those of the linear output head alone, so all of them are computed")
        if self.may_share_prompts:
            self._shares_prompts = True
            half = attention_mask.cumsum(-1) > attention_mask.sum(-1) // 2
            self._shares_prompts = agrees(2, wanted & half)
            if self._knows_head and not self._shares_prompts:
                print(f"{name}: a prompt's tokens depend on more than those before, so each sequence computes its own")


def _transformer(model: Any) -> Any:
    """The model of transformers inside DeepSpeed's engine and PEFT's wrapper."""
    model = getattr(model, "module", model)
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _statistics_head(model: Any, targets: Tensor, wanted: Tensor, temperature: float) -> Callable[[Tensor], Tensor]:
    """A forward for the model's head that gives [B, T, 2] for logits [B, T, V]: see `head_statistics`; 0 where not
    wanted."""
    head = model.get_output_embeddings()
    scale, cap = transformers_head.scale_and_cap(model)
    index = wanted.flatten().nonzero().squeeze(-1)

    def forward(hidden: Tensor) -> Tensor:
        output_head = OutputHead(head.weight, head.bias, scale, cap, temperature)
        statistics = head_statistics(hidden.flatten(0, 1)[index], targets.flatten()[index], output_head)
        everywhere = statistics.new_zeros(wanted.numel(), 2).index_copy(0, index, statistics)
        return everywhere.view(*wanted.shape, 2)

    return forward
