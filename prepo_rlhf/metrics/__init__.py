"""From graded samples to avg@n, pass@k, maj@n and their uncertainty: shared by benchmarks and training's evaluations.

Boundary: the standard library, numpy and scipy.
"""
