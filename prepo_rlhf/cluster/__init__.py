"""What a job has of a Ray cluster before any part of the stack is imported: nodes, places, and engines that start.

Boundary: Ray and options; OpenRLHF, DeepSpeed and vLLM are imported in `prepo_rlhf.ray`.
"""
