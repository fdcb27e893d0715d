"""What a job will take before anything is started: memory, GPUs, steps, rollouts, arithmetic.

Everything here is computed from the options and a model's config.json; nothing is measured, so what no formula covers
(CUDA contexts, NCCL's buffers, fragmentation, vLLM's workspace) is an allowance that the user sets.
Boundary: imports none of the training stack, and transformers only where a model is looked at.
"""
