"""The hosts of desktops, for admins."""

from lucid.contracts import rdp_manager as contract
from lucid.kit.app import Call, Handlers
from lucid.kit.errors import NotFound
from lucid.kit.routes import Nothing
from lucid.rdp.manager_parts import HOSTS, WATCHER
from lucid.rdp.placement import Candidate

handlers = Handlers()


@handlers.on(contract.HOSTS)
async def hosts(call: Call, _: Nothing, __: Nothing) -> contract.RdpHosts:
    """All of the site, in its order."""
    return contract.RdpHosts(tuple(_view(each) for each in await call.app[WATCHER].candidates()))


@handlers.on(contract.SET_HOST)
async def set_host(call: Call, params: contract.HostPath, body: contract.SetHost) -> contract.RdpHost:
    """Drains a host, or ends that."""
    watcher = call.app[WATCHER]
    if params.host not in watcher.names:
        known = ", ".join(watcher.names) or "none"
        raise NotFound(f"there is no host {params.host}; the hosts are {known}")
    await call.app[HOSTS].set_draining(params.host, draining=body.draining)
    return next(_view(each) for each in await watcher.candidates() if each.name == params.host)


def _view(host: Candidate) -> contract.RdpHost:
    figures = host.figures
    return contract.RdpHost(
        name=host.name,
        answers=host.answers,
        draining=host.draining,
        sessions=host.sessions,
        cpu_busy=figures.cpu_busy if figures else None,
        memory_free_bytes=figures.memory_free_bytes if figures else None,
        disk_free_bytes=figures.disk_free_bytes if figures else None,
    )
