"""Cluster rdp: desktops over RDP, each in a slot of its host that is named by its port."""
