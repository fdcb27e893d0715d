"""Estimates of a job's memory, placement, steps, rollouts and FLOPs, before anything is started.

Computed from the options and a model's config.json, not measured: what no formula covers (CUDA contexts, NCCL's
buffers, fragmentation, vLLM's workspace) is an allowance that the user sets.
Boundary: none of the training stack; transformers and torch only for the shape of a model that is not known.
"""
