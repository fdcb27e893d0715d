"""What is read from disk and written to it: rows, records of steps, checkpoints' manifests, a model's files,
and what a job finds in its folders when it starts.

Boundary: paths in, plain values out; imports `config` for the error that a user's mistake is told with.
"""
