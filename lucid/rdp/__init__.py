"""Cluster rdp: remote desktops, each under a trust policy and recorded from its first frame to its last."""
