"""The paper in pure torch: prompt perplexity, its window, entropy weights, the weighted objective, learning signal.

Boundary: imports torch and the standard library only; knows nothing of Ray, vLLM, DeepSpeed, OpenRLHF or options.
"""
