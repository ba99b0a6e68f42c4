"""Mail addresses as account names: which ones are taken, and when two are the same."""

import re

from lucid.kit.errors import Code, Invalid

MAX_LOCAL = 64
MAX_ADDRESS = 254
"""Octets before the @ and altogether (RFC 5321 section 4.5.3.1)."""

_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_ADDRESS = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@{_LABEL}(?:\.{_LABEL})*")


def normalise(address: str) -> str:
    """The address in lower case, the one form under which an account is kept and found.

    Taken is `Dot-string "@" Domain` of RFC 5321 section 4.1.2, in ASCII: no quoted names, no address
    literals. A domain of one label is allowed, for machines of one's own. Raises Invalid 1006.
    """
    lowered = address.lower()
    match = _ADDRESS.fullmatch(lowered)
    if match is None or len(match[1]) > MAX_LOCAL or len(lowered) > MAX_ADDRESS:
        raise Invalid(
            "email: not a mail address, for example anna@example.org", code=Code.MAIL_ADDRESS, field="email"
        )
    return lowered
