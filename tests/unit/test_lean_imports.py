"""The garbage collector around imports: at rest in the block, and never again over what the first block has made."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import gc
from prepo_rlhf.backends.lean_imports import collector_at_rest

with collector_at_rest():
    with collector_at_rest():
        pass
    inside = gc.isenabled()
first = gc.get_freeze_count()
with collector_at_rest():
    made = [[] for _ in range(1000)]
print(inside, gc.isenabled(), first > 0, gc.get_freeze_count() == first)
"""


def test_only_the_first_block_freezes_and_the_outer_one_ends_the_rest() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.stdout == "False True True True\n", done.stderr
