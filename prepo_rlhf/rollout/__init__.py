"""From prompts to graded rollouts: scoring, collecting a step's groups, sync and async generation, staleness.

Boundary: drives the engines of `ray`; knows nothing of training, checkpoints or metrics files.
"""
