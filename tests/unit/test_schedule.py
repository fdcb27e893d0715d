"""Progress and the perplexity window."""

from __future__ import annotations

import math

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st

from prepo_rlhf.algorithm.ppl_window import PACINGS, ppl_window, progress, window_start


def test_progress_runs_from_zero_to_one() -> None:
    assert [progress(step, 5) for step in range(5)] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert progress(0, 1) == 0.0


@pytest.mark.parametrize("step", [-1, 3])
def test_progress_refuses_steps_outside_the_run(step: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        progress(step, 3)


@given(rho=st.floats(0.0, 1.0))
def test_pacings_are_the_powers_of_progress(rho: float) -> None:
    assert set(PACINGS) == {"linear", "sqrt", "quadratic"}
    assert PACINGS["linear"](rho) == rho  # to the last bit: the paper's
    assert PACINGS["sqrt"](rho) == pytest.approx(rho**0.5)
    assert PACINGS["quadratic"](rho) == pytest.approx(rho * rho)
    assert all(0.0 <= pacing(rho) <= 1.0 for pacing in PACINGS.values())


@given(total=st.integers(2, 2000), size=st.integers(1, 2000), data=st.data())
def test_window_start_is_what_a_reader_of_the_metrics_computes(total: int, size: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, size))
    starts = [window_start(rho, size, k) for rho in (progress(s, total) for s in range(total))]
    assert starts == [math.floor(s / (total - 1) * (size - k)) for s in range(total)]
    assert starts[0] == 0 and starts[-1] == size - k
    assert starts == sorted(starts)


@given(
    values=st.lists(st.floats(1.0, 1e6) | st.sampled_from([1.0, 2.0]), min_size=1, max_size=40),
    rho=st.floats(0.0, 1.0),
    data=st.data(),
)
def test_window_equals_the_formula_and_breaks_ties_by_position(
    values: list[float], rho: float, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, len(values)))
    chosen = ppl_window(torch.tensor(values, dtype=torch.float64), k, rho)
    assert chosen.dtype == torch.int64
    assert chosen.tolist() == reference.window(values, k, rho)


def test_refuses_what_has_no_window() -> None:
    with pytest.raises(ValueError, match="NaN"):
        ppl_window(torch.tensor([1.0, float("nan")]), 1, 0.0)
    with pytest.raises(ValueError, match="cannot select 3 of 2"):
        ppl_window(torch.tensor([1.0, 2.0]), 3, 0.0)
    with pytest.raises(ValueError, match="progress"):
        ppl_window(torch.tensor([1.0, 2.0]), 1, 1.5)
