"""One module per service: its messages and routes. What a caller may import of a callee, and nothing else."""
