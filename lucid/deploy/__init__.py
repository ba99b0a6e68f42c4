"""What the catalogue means for a site: who talks to whom, and the packets that may pass.

Pure: an inventory and the catalogue in, values and text out. The playbooks and `lucid firewall` use it.
"""
