"""The CPU's sampler against a literal walk along the probabilities, and its draws against their distribution."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare, kstest
from vllm.utils.cpu_triton_utils import expand_kernel
from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler

from prepo_rlhf.backends import cpu_sampling

ROWS = 400
LARGEST = 1 - 2**-53  # that a float64 in [0, 1) can be


@pytest.fixture
def sampler(monkeypatch: pytest.MonkeyPatch) -> TopKTopPSampler:
    """A sampler of vLLM as the rollout engines have it; later ones are vLLM's own again."""
    monkeypatch.setattr(TopKTopPSampler, "forward_cpu", TopKTopPSampler.forward_cpu)
    monkeypatch.setattr(expand_kernel, "func", expand_kernel.func)
    cpu_sampling.patch_vllm()
    cpu_sampling.patch_vllm()
    return TopKTopPSampler()


def walk(weights: list[int], uniform: float) -> int:
    """The first token up to which the weights sum to more than `uniform` of all."""
    total = 0
    for token, weight in enumerate(weights):
        total += weight
        if total > uniform * sum(weights):
            return token
    raise AssertionError("no token")


def seeded(seeds: range) -> dict[int, torch.Generator]:
    return {row: torch.Generator().manual_seed(seed) for row, seed in enumerate(seeds)}


@pytest.mark.parametrize("vocabulary", [1, 5, 64, 192, 1000])
def test_the_walk(vocabulary: int) -> None:
    random = torch.Generator().manual_seed(vocabulary)
    # Small integers have exact sums, so that both ways must find the same token. Most are 0, the first and last too.
    weights = torch.randint(0, 9, (ROWS, vocabulary), generator=random) * torch.randint(
        0, 2, (ROWS, vocabulary), generator=random
    )
    weights[:, vocabulary // 2] += 1
    uniforms = torch.rand(ROWS, dtype=torch.float64, generator=random)
    uniforms[:50], uniforms[50:100] = 0, LARGEST
    expected = [walk(row, uniform) for row, uniform in zip(weights.tolist(), uniforms.tolist(), strict=True)]
    assert cpu_sampling.sample(weights.float(), uniforms).tolist() == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_probabilities_that_are_not_finite_are_an_error(value: float) -> None:
    probabilities = torch.full((2, 100), 0.01)
    probabilities[1, 70] = value
    with pytest.raises(ArithmeticError, match="the model's probabilities are not finite"):
        cpu_sampling.sample(probabilities, torch.zeros(2, dtype=torch.float64))


def test_what_has_no_probability_is_never_drawn(sampler: TopKTopPSampler) -> None:
    logits = torch.randn(ROWS, 300, generator=torch.Generator().manual_seed(0))
    allowed = logits.topk(3).indices
    k = torch.full((ROWS,), 3, dtype=torch.int32)
    torch.manual_seed(0)
    tokens = torch.stack([sampler.forward(logits.clone(), {}, k, None)[0] for _ in range(20)], 1)
    assert (tokens[:, :, None] == allowed[:, None]).any(-1).all()
    assert [set(row) for row in tokens.tolist()] != [set(tokens[0].tolist())] * ROWS


@pytest.mark.parametrize("with_seeds", [False, True])
def test_draws_follow_the_distribution(sampler: TopKTopPSampler, with_seeds: bool) -> None:
    draws, vocabulary = 20_000, 130
    logits = torch.randn(vocabulary, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(4)
    generators = seeded(range(draws)) if with_seeds else {}
    tokens, _ = sampler.forward(logits.expand(draws, -1).clone(), generators, None, None)
    expected = logits.double().softmax(-1) * draws
    assert chisquare(tokens.bincount(minlength=vocabulary), expected).pvalue > 0.01


def test_rare_tokens_keep_their_share() -> None:
    # One in a hundred million each, which a running sum in float32 would not tell apart.
    probabilities = torch.full((1, 2**17), 1e-8)
    probabilities[0, 0] = 1 - 1e-8 * (2**17 - 1)
    uniforms = 1 - torch.linspace(0, 1e-8 * 2**16, ROWS + 2, dtype=torch.float64)[1:-1]
    tokens = cpu_sampling.sample(probabilities.expand(ROWS, -1), uniforms)
    assert kstest(tokens, "uniform", (2**16, 2**16)).pvalue > 0.5


def test_a_seed_gives_the_same_tokens_in_any_batch(sampler: TopKTopPSampler) -> None:
    logits = torch.randn(8, 192, generator=torch.Generator().manual_seed(5))
    together, alone = seeded(range(8)), seeded(range(8))
    for _ in range(3):
        tokens, _ = sampler.forward(logits.clone(), together, None, None)
        for row in range(8):
            own, _ = sampler.forward(logits[row : row + 1].clone(), {0: alone[row]}, None, None)
            assert own.item() == tokens[row]


@pytest.mark.parametrize("mode", ["raw_logprobs", "processed_logits", "processed_logprobs"])
def test_it_returns_what_vllm_returns(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(6))
    k, p = torch.full((4,), 20, dtype=torch.int32), torch.full((4,), 0.9)
    theirs = TopKTopPSampler(mode).forward_cpu(logits.clone(), seeded(range(4)), k, p)
    monkeypatch.setattr(TopKTopPSampler, "forward_cpu", TopKTopPSampler.forward_cpu)
    cpu_sampling.patch_vllm()
    ours = TopKTopPSampler(mode).forward_cpu(logits.clone(), seeded(range(4)), k, p)
    assert (ours[0].dtype, ours[0].shape) == (theirs[0].dtype, theirs[0].shape)
    assert (theirs[1] is None) == (mode == "raw_logprobs")
    if theirs[1] is not None:
        torch.testing.assert_close(ours[1], theirs[1])


def test_another_vllm_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TopKTopPSampler, "forward_cpu", lambda self, logits: logits)
    with pytest.raises(RuntimeError, match="review prepo_rlhf.backends.cpu_sampling"):
        cpu_sampling.patch_vllm()


def test_drafts_are_judged_at_their_requests_temperature(sampler: TopKTopPSampler) -> None:
    """What vLLM's rejection sampler spreads over the drafts of each request, of which there may be none."""
    from vllm.v1.sample import rejection_sampler

    ends = torch.tensor([2, 2, 5], dtype=torch.int32)
    with pytest.MonkeyPatch.context() as patch:  # as vLLM does it where there is no Triton
        patch.setattr(rejection_sampler, "expand_kernel", expand_kernel)
        spread = rejection_sampler.expand_batch_to_tokens
        temperatures = spread(torch.tensor([0.7, 0.3, 0.0]), ends, 5, replace_from=0, replace_to=1)
        top_k = spread(torch.tensor([7, 3, 512], dtype=torch.int32), ends, 5)
    assert torch.equal(temperatures, torch.tensor([0.7, 0.7, 1.0, 1.0, 1.0]))
    assert torch.equal(top_k, torch.tensor([7, 7, 512, 512, 512], dtype=torch.int32))
