"""What runs inside vLLM's worker processes: our gloo weight transfer, the CPU's sampler, a watchdog of the
parent, and what writes its stacks.

vLLM imports this module in each worker (`worker_extension_cls`), the one place where it is not a Ray worker.
"""

import os
import signal
import threading
import time

from prepo_rlhf.backends import current_backend, gloo_weight_transfer
from prepo_rlhf.ray import stacks


def end_with_parent() -> None:
    """Kill this process soon after the one that started it is gone.

    vLLM's engine ends its workers when it is shut down. Where its actor is killed (by hand, out of memory, with its
    raylet) it cannot, and they would keep their memory for ever.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end_with_parent").start()


gloo_weight_transfer.register()
if current_backend() == "cpu":
    from prepo_rlhf.backends import cpu_sampling

    cpu_sampling.patch_vllm()
end_with_parent()
stacks.keep_ready()


class WorkerExtension:
    """Adds nothing to vLLM's worker: importing its module has done the work."""
