"""PREPO for OpenRLHF: choose prompts by perplexity before any rollout, weight rollouts by relative entropy.

Boundary: importing the package imports nothing heavy; each subpackage says what it may import.
"""

__version__ = "0.2.0"
