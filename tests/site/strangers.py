"""Another machine of the network where people are, which nobody has let in."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

from lab.network import MANAGEMENT, hardware_address
from lab.place import here
from lab.run import attempt, run, within


@contextmanager
def stranger() -> Iterator[tuple[tuple[str, ...], IPv4Address]]:
    """What to write before a command so that it runs there, and the machine's address."""
    lab = here()
    network = lab.inventory.control.network
    address, name, port = network[-2], lab.netns("stranger"), "mgmt-stranger"
    switch = lab.netns("switch")
    attempt("ip", "netns", "delete", name)  # of a run that was broken off
    attempt("ip", "-n", switch, "link", "delete", port)
    run("ip", "netns", "add", name)
    try:
        mac = hardware_address(address)
        veth = ["mgmt0", "address", mac, "type", "veth", "peer", "name", port, "netns", switch]
        run("ip", "-n", name, "link", "add", *veth)
        run("ip", "-n", name, "address", "add", f"{address}/{network.prefixlen}", "dev", "mgmt0")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "link", "set", "mgmt0", "up")
        run("ip", "-n", switch, "link", "set", port, "master", MANAGEMENT, "up")
        yield within(name), address
    finally:
        attempt("ip", "netns", "delete", name)
