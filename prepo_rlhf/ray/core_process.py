"""What vLLM's core runs first: this package, which makes its process ready, and the core's own imports.

`replace_main_module` puts it in the place of Ray's worker program, which the core's owner was started with.
"""

from prepo_rlhf.backends import lean_imports

with lean_imports.collector_at_rest():
    lean_imports.import_core()
