"""What xrdp, chansrv and the X server are told for one session: text rendered from its policy. No I/O.

Formats: xrdp.ini(5), sesman.ini(5), xorg.conf(5). What the policy does not name is closed wherever it can be:
xrdp does not offer the channel, no chansrv serves it, the X server has no device for it.
"""

from lucid.contracts.xrdp import LOGIN_PORT, display_number
from lucid.evidence.policy import TrustPolicy
from lucid.rdp import slots

SOCKETS = "/run/xrdp/sockdir"
"""Where xrdp, xorgxrdp and chansrv meet; each session's units see a directory of their own there."""


def needs_channels(policy: TrustPolicy) -> bool:
    """Whether chansrv has anything to do."""
    return policy.clipboard.to_desktop or policy.clipboard.from_desktop


def xrdp_ini(port: int, policy: TrustPolicy) -> str:
    """xrdp.ini of the session's listener: one port, TLS only, one desktop, the policy's channels."""
    credentials = f"/run/credentials/{slots.listener_of(port)}"
    display = display_number(port)
    channels = {
        "rdpdr": False,  # drives, printers, smart cards
        "rdpsnd": False,
        "drdynvc": True,  # carries the screen's size; chansrv opens no other channel through it
        "cliprdr": needs_channels(policy),
        "rail": False,
        "xrdpvr": False,
        "tcutils": False,
    }
    listed = "\n".join(f"{name}={_flag(on)}" for name, on in channels.items())
    serving = f"chansrvport=DISPLAY({display})\n" if needs_channels(policy) else ""
    return f"""\
[Globals]
ini_version=1
fork=true
port={port}
tcp_nodelay=true
tcp_keepalive=true
security_layer=tls
ssl_protocols=TLSv1.2, TLSv1.3
certificate={credentials}/rdp.crt
key_file={credentials}/rdp.key
require_credentials=false
autorun=
hidelogwindow=true
allow_channels=true
allow_multimon=false
bitmap_compression=true
bulk_compression=true
max_bpp=32
new_cursors=true
use_fastpath=both
ls_title=Lucid

[Logging]
LogFile=/dev/null
LogLevel=INFO
EnableSyslog=false
EnableConsole=true
ConsoleLevel=INFO

[Channels]
{listed}

[Lucid]
name=Lucid
lib=libxup.so
username=ask
password=ask
pamusername={port}
pampassword=same
pamsessionmng=127.0.0.1
ip=127.0.0.1
port={SOCKETS}/xrdp_display_{display}
{serving}code=20
"""


def sesman_ini(policy: TrustPolicy) -> str:
    """sesman.ini as listener and chansrv read it: whom to ask for logins, and which way the clipboard goes.

    "Outbound" is from the desktop. Files never pass.
    """
    outbound = "file" if policy.clipboard.from_desktop else "all"
    inbound = "file" if policy.clipboard.to_desktop else "all"
    return f"""\
[Globals]
ListenAddress=127.0.0.1
ListenPort={LOGIN_PORT}

[Security]
RestrictOutboundClipboard={outbound}
RestrictInboundClipboard={inbound}

[Chansrv]
EnableFuseMount=false

[ChansrvLogging]
LogFile=/dev/null
LogLevel=WARNING
EnableSyslog=false
EnableConsole=true
ConsoleLevel=WARNING
"""


def xorg_conf(policy: TrustPolicy) -> str:
    """xorg.conf for xorgxrdp. A device that the policy does not name is not there: its events go nowhere."""
    devices = [
        (name, driver, core)
        for name, driver, core, on in (
            ("mouse", "xrdpmouse", "CorePointer", policy.input.mouse),
            ("keyboard", "xrdpkeyb", "CoreKeyboard", policy.input.keyboard),
        )
        if on
    ]
    used = "".join(f'    InputDevice "{name}" "{core}"\n' for name, _, core in devices)
    sections = "".join(
        f'Section "InputDevice"\n    Identifier "{name}"\n    Driver "{driver}"\nEndSection\n\n'
        for name, driver, _ in devices
    )
    return f"""\
Section "ServerLayout"
    Identifier "Lucid"
    Screen "xrdp"
{used}EndSection

Section "ServerFlags"
    Option "DefaultServerLayout" "Lucid"
    Option "DontVTSwitch" "on"
    Option "DontZap" "on"
    Option "AutoAddDevices" "off"
    Option "AutoEnableDevices" "off"
    Option "AutoAddGPU" "off"
    Option "BlankTime" "0"
    Option "StandbyTime" "0"
    Option "SuspendTime" "0"
    Option "OffTime" "0"
EndSection

Section "Module"
    Load "fb"
    Load "glamoregl"
    Load "xorgxrdp"
EndSection

{sections}Section "Monitor"
    Identifier "Monitor"
    HorizSync 30-80
    VertRefresh 60-75
EndSection

Section "Device"
    Identifier "xrdp"
    Driver "xrdpdev"
EndSection

Section "Screen"
    Identifier "xrdp"
    Device "xrdp"
    Monitor "Monitor"
    DefaultDepth 24
    SubSection "Display"
        Depth 24
        Modes "640x480" "800x600" "1024x768" "1280x720" "1280x1024" "1600x900" "1920x1080"
    EndSubSection
EndSection
"""


def desktop_settings(port: int, policy: TrustPolicy, width: int, height: int) -> str:
    """What the desktop's unit reads to start the X server: lines of NAME=NUMBER."""
    found = {
        "DISPLAY_NUMBER": display_number(port),
        "WIDTH": width,
        "HEIGHT": height,
        "CHANNELS": int(needs_channels(policy)),
        "IDLE_SECONDS": policy.idle_seconds,
    }
    return "".join(f"{name}={value}\n" for name, value in found.items())


def _flag(on: bool) -> str:
    return "true" if on else "false"
