"""What OpenRLHF has made takes the methods of a subclass, and of nothing else."""

from __future__ import annotations

import pytest

from prepo_rlhf.backends.subclassing import specialise


class Theirs:
    def __init__(self) -> None:
        self.state = 1

    def step(self) -> int:
        return self.state


class Ours(Theirs):
    def step(self) -> int:
        return 10 + super().step()


class WithStateOfItsOwn(Theirs):
    def __init__(self) -> None:
        super().__init__()
        self.more = 2


def test_it_keeps_its_state() -> None:
    made = Theirs()
    specialise(made, Ours)
    assert type(made) is Ours and made.step() == 11


@pytest.mark.parametrize(("made", "subclass"), [(object(), Ours), (Ours(), Ours), (Theirs(), WithStateOfItsOwn)])
def test_others_are_refused(made: object, subclass: type) -> None:
    with pytest.raises(RuntimeError, match=f"{subclass.__name__} cannot stand in for openrlhf's {type(made).__name__}"):
        specialise(made, subclass)
