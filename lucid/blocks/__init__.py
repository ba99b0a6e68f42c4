"""Cluster 02: lucid_blocks, the chain on which everything is anchored, and the door to it for recorders."""
