"""Cluster 03: from the pixels of a desktop to a sealed, stored and anchored recording."""
