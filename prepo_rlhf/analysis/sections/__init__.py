"""The parts of the report, one idea a file; each turns groups of runs into a `Section`."""
