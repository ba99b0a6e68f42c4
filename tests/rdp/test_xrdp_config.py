"""What xrdp, chansrv and the X server are told: only what the policy names is on."""

import configparser
from itertools import product

import pytest

from lucid.contracts.xrdp import LOGIN_PORT
from lucid.evidence.policy import TrustPolicy
from lucid.rdp import xrdp_config
from tests.rdp.policies import Clipboard, Input, policy

PORT = 13395
CLIPBOARDS = [
    Clipboard(to_desktop=there, from_desktop=back) for there, back in product((False, True), repeat=2)
]


def parsed(text: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None, strict=True)
    found.read_string(text)
    return found


def test_the_listener_serves_one_desktop_by_tls_alone() -> None:
    found = parsed(xrdp_config.xrdp_ini(PORT, policy()))
    assert found.sections() == ["Globals", "Logging", "Channels", "Lucid"]
    shared, desktop = found["Globals"], found["Lucid"]
    assert (shared["port"], shared["security_layer"], shared["ssl_protocols"]) == (
        "13395",
        "tls",
        "TLSv1.2, TLSv1.3",
    )
    # Clients that ask for a password only when the server does are shown xrdp's own window for it.
    assert (shared["autorun"], shared["require_credentials"]) == ("", "false")
    assert shared["certificate"] == "/run/credentials/lucid-xrdp@13395.service/rdp.crt"
    assert desktop["port"] == "/run/xrdp/sockdir/xrdp_display_106"
    assert (desktop["pamusername"], desktop["pampassword"], desktop["password"]) == ("13395", "same", "ask")


def test_nothing_is_on_by_default() -> None:
    found = parsed(xrdp_config.xrdp_ini(PORT, policy()))
    on = {name for name, value in found["Channels"].items() if value == "true"}
    assert on == {"drdynvc"}
    assert "chansrvport" not in found["Lucid"]
    assert "InputDevice" not in xrdp_config.xorg_conf(policy())
    assert "CHANNELS=0\n" in xrdp_config.desktop_settings(PORT, policy(), 1280, 720)


@pytest.mark.parametrize("clipboard", CLIPBOARDS)
def test_the_clipboard_goes_only_the_ways_that_are_named(clipboard: Clipboard) -> None:
    given = policy(clipboard=clipboard)
    any_way = clipboard.to_desktop or clipboard.from_desktop
    found, shared = parsed(xrdp_config.xrdp_ini(PORT, given)), parsed(xrdp_config.sesman_ini(given))
    assert found["Channels"]["cliprdr"] == ("true" if any_way else "false")
    assert found["Lucid"].get("chansrvport") == ("DISPLAY(106)" if any_way else None)
    security = shared["Security"]
    # Files never: chansrv would need a file system of its own for them.
    assert security["RestrictOutboundClipboard"] == ("file" if clipboard.from_desktop else "all")
    assert security["RestrictInboundClipboard"] == ("file" if clipboard.to_desktop else "all")
    assert shared["Chansrv"]["EnableFuseMount"] == "false"
    assert shared["Globals"]["ListenPort"] == str(LOGIN_PORT)


@pytest.mark.parametrize(("mouse", "keyboard"), list(product((False, True), repeat=2)))
def test_the_x_server_has_the_devices_that_are_named(mouse: bool, keyboard: bool) -> None:
    text = xrdp_config.xorg_conf(policy(input=Input(mouse=mouse, keyboard=keyboard)))
    assert ('InputDevice "mouse" "CorePointer"' in text, 'Driver "xrdpmouse"' in text) == (mouse, mouse)
    assert ('InputDevice "keyboard" "CoreKeyboard"' in text, 'Driver "xrdpkeyb"' in text) == (
        keyboard,
        keyboard,
    )
    lines = text.splitlines()
    assert sum(line.startswith("Section ") for line in lines) == lines.count("EndSection")


def test_the_desktop_is_told_numbers_alone() -> None:
    """A shell reads them: nothing that a policy holds may be more than a number there."""
    given: TrustPolicy = policy(idle_seconds=120)
    lines = xrdp_config.desktop_settings(PORT, given, 1280, 720).splitlines()
    assert lines == ["DISPLAY_NUMBER=106", "WIDTH=1280", "HEIGHT=720", "CHANNELS=0", "IDLE_SECONDS=120"]
