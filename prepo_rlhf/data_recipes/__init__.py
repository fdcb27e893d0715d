"""Data sets by name, from the hub or a local copy, as the JSON lines that training and benchmarks read."""
