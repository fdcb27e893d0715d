"""What is read from disk and written to it: rows, records of steps, checkpoints' manifests, a model's files.

Boundary: paths in, plain values out; imports `config` for the error that a user's mistake is told with.
"""
