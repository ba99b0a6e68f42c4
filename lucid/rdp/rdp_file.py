"""The `.rdp` file: how ordinary clients (mstsc, FreeRDP, Remmina) are told of one desktop. Pure.

What the trust policy leaves off is off here too, so that clients do not offer what the host refuses; it is
the host that enforces it.
"""

from collections.abc import Collection

LINE_END = "\r\n"


def render(*, address: str, port: int, user: str, width: int, height: int, allowed: Collection[str]) -> str:
    """The file's content. `allowed` are the policy's channels, as `group.channel`.

    Raises ValueError for an address or a user that would not stay within its line.
    """
    host = f"[{address}]" if ":" in address else address
    clipboard = bool({"clipboard.to_desktop", "clipboard.from_desktop"} & set(allowed))
    values: dict[str, str | int] = {
        "full address": f"{host}:{port}",
        "username": user,
        "prompt for credentials": 1,  # the one-time password stands in no file
        "enablecredsspsupport": 0,  # xrdp has no network level authentication, only TLS
        "negotiate security layer": 1,
        "authentication level": 2,  # show the certificate, which is to be compared, instead of going on
        "autoreconnection enabled": 0,  # the password is good once
        "screen mode id": 1,
        "desktopwidth": width,
        "desktopheight": height,
        "session bpp": 32,
        "smart sizing": 1,
        "use multimon": 0,
        "bitmapcachepersistenable": 0,  # no pictures of the desktop stay on the client's disk
        "audiomode": 2,  # play nothing
        "audiocapturemode": 0,
        "redirectclipboard": int(clipboard),
        "redirectdrives": 0,
        "drivestoredirect": "",
        "redirectprinters": 0,
        "redirectcomports": 0,
        "redirectsmartcards": 0,
        "redirectposdevices": 0,
        "redirectwebauthn": 0,
        "devicestoredirect": "",
        "usbdevicestoredirect": "",
        "camerastoredirect": "",
        "gatewayusagemethod": 0,
    }
    return "".join(_line(name, value) for name, value in values.items())


def _line(name: str, value: str | int) -> str:
    if isinstance(value, int):
        return f"{name}:i:{value}{LINE_END}"
    if not (value.isascii() and (value.isprintable() or not value)):
        raise ValueError(f"{name}: {value!r} would not stay within its line")
    return f"{name}:s:{value}{LINE_END}"
