"""The command line: it parses, calls a job, and shows; no mathematics."""
