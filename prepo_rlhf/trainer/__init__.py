"""The control loop of a training job: checks, steps, checkpoints, records. Nothing but the command stands on it."""
