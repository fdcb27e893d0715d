"""Length bins: sizes, shares of K, and the window within each."""

from __future__ import annotations

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_candidates import make_candidate
from tiny_streams import selector_named

from prepo_rlhf.algorithm.length_bins import length_bins

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=40)  # short range: many ties


@given(lengths=LENGTHS, data=st.data())
def test_bins_part_the_batch_by_length_and_k_evenly(lengths: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(lengths)))
    bins = length_bins(torch.tensor(lengths), k, data.draw(st.integers(1, k)))
    members, shares = [m.tolist() for m, _ in bins], [share for _, share in bins]
    assert sorted(i for some in members for i in some) == list(range(len(lengths)))
    assert all(some == sorted(some) for some in members)
    for shorter, longer in zip(members, members[1:], strict=False):
        assert max(lengths[i] for i in shorter) <= min(lengths[i] for i in longer)
    sizes = [len(some) for some in members]
    for counts, total in ((sizes, len(lengths)), (shares, k)):
        assert sum(counts) == total and max(counts) - min(counts) <= 1
        assert counts == sorted(counts, reverse=True)  # the remainder goes to the shorter bins
    assert all(1 <= share <= size for share, size in zip(shares, sizes, strict=True))


@given(lengths=LENGTHS, rho=st.floats(0.0, 1.0), data=st.data())
def test_the_window_of_each_bin_equals_the_definition(lengths: list[int], rho: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(lengths)))
    num_bins = data.draw(st.integers(1, k))
    ppl = data.draw(st.lists(st.sampled_from([1.0, 2.0, 3.5, 4.0]), min_size=len(lengths), max_size=len(lengths)))
    candidates = [make_candidate(i, n, perplexity=p) for i, (n, p) in enumerate(zip(lengths, ppl, strict=True))]
    binned, plain = selector_named("prepo", ppl_length_bins=num_bins), selector_named("prepo")
    chosen = binned.select(candidates, k, rho)
    assert chosen == reference.window_in_bins(ppl, lengths, k, rho, num_bins)
    if num_bins == 1:
        assert chosen == plain.select(candidates, k, rho)
        assert binned.metrics() == plain.metrics()


@pytest.mark.parametrize(
    ("name", "rho", "chosen", "start"), [("low-ppl", 1.0, [3, 0], 0), ("high-ppl", 0.0, [2, 1], 2)]
)
def test_length_is_held_while_perplexity_moves(name: str, rho: float, chosen: list[int], start: int) -> None:
    """Two short prompts and two long ones, the long ones of lower perplexity; unbinned, one length would be taken."""
    rows = [(30, 2.0), (31, 3.0), (10, 9.0), (11, 8.0)]
    candidates = [make_candidate(i, n, perplexity=p) for i, (n, p) in enumerate(rows)]
    selector = selector_named(name, ppl_length_bins=2)
    assert selector.select(candidates, 2, rho) == chosen
    assert selector.metrics() == {"prepo/window_start": start}
    unbinned = selector_named(name).select(candidates, 2, rho)
    assert {candidates[i].num_tokens > 20 for i in unbinned} == {name == "low-ppl"}


@pytest.mark.parametrize("num_bins", [0, 3])
def test_refuses_bins_that_would_give_nothing(num_bins: int) -> None:
    with pytest.raises(ValueError, match=f"2 candidates from {num_bins} bins"):
        length_bins(torch.tensor([1, 2, 3, 4]), 2, num_bins)
