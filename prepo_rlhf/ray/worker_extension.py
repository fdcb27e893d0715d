"""What runs inside vLLM's worker processes: our gloo weight transfer, the CPU's sampler, and their end with the engine.

vLLM imports this module in each worker (`worker_extension_cls`), the one place where it is not a Ray worker.
"""

import os
import signal
import threading
import time

from prepo_rlhf.backends import current_backend, gloo_weight_transfer


def end_with_parent() -> None:
    """Kill this process soon after the one that started it is gone.

    vLLM ends its workers when the engine's actor ends them; one that is killed outright (by hand, for want of memory,
    with its raylet) cannot, and they would keep their memory for ever.
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


class WorkerExtension:
    """Adds nothing to vLLM's worker: importing its module has done the work."""
