"""What runs as Ray actors: the policy, the reference model, the rollout engines, and the weights between them.

Importing this package makes the process ready for OpenRLHF on the job's backend, so it comes before any
import of OpenRLHF.
"""

from __future__ import annotations

from prepo_rlhf import backends
from prepo_rlhf.backends import lean_imports

with lean_imports.collector_at_rest():
    backends.activate()
    lean_imports.import_vllm()
