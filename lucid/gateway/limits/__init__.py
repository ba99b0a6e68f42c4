"""Limits: who may ask how often, counted exactly over all workers and hosts."""
