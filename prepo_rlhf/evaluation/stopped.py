"""The one error that an evaluation ends with once its engines have been asked for.

Boundary: standard library only, so that the command can catch it before anything heavy is imported.
"""


class EvaluationStopped(RuntimeError):
    """An engine, or the reward in it, broke; the message says which, and why. What is done is in the output folder."""
