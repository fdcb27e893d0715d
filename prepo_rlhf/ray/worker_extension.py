"""What runs inside vLLM's worker processes: only the registration of our gloo weight transfer.

vLLM imports this module in each worker (`worker_extension_cls`), the one place where it is not a Ray worker.
"""

from prepo_rlhf.backends import gloo_weight_transfer

gloo_weight_transfer.register()


class WorkerExtension:
    """Adds nothing to vLLM's worker: importing its module has done the work."""
