"""Ansible module: keys that are made on the host and never leave it, and the certificates for them.

Called twice: without `issued` it says which certificates are missing, expiring or for other names, and
makes a new key beside the old one; with `issued` it puts certificate and key into place together. A reader
sees the old pair or the new one.
"""

import datetime
import grp
import ipaddress
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

DOCUMENTATION = """
module: lucid_certificates
short_description: Keys and certificates of the programs on a host
description: Finds certificates that must be renewed and makes their keys, or installs what was issued.
options:
  certificates:
    description: What the host needs; a list of name, unit, group, dns, addresses.
    type: list
    elements: dict
    required: true
  ca_certificate:
    description: The authority's certificate, PEM.
    type: str
    required: true
  directory:
    description: Where each program's directory is made.
    type: path
    default: /etc/lucid/tls
  renew_days:
    description: A certificate that ends within so many days is renewed.
    type: int
    default: 30
  issued:
    description: PEM certificates by name, to be installed.
    type: dict
author: [Lucid]
"""
EXAMPLES = """
- lucid_certificates:
    certificates: [{name: session-api, unit: services, group: lucid-session-api, dns: [a], addresses: []}]
    ca_certificate: "{{ pki_ca_certificate }}"
"""
RETURN = """
requests:
  description: The certificates that are wanted, each with its public key.
  type: list
  returned: without issued
authority:
  description: Whether the authority's certificates on the host were others.
  type: bool
  returned: without issued
regrouped:
  description: Names of the programs whose files were for another unix group.
  type: list
  returned: without issued
installed:
  description: Names of the certificates that were installed.
  type: list
  returned: with issued
"""

PEM = serialization.Encoding.PEM


def main():
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "certificates": {"type": "list", "elements": "dict", "required": True},
            "ca_certificate": {"type": "str", "required": True},
            "directory": {"type": "path", "default": "/etc/lucid/tls"},
            "renew_days": {"type": "int", "default": 30},
            "issued": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    root = Path(module.params["directory"])
    ca = x509.load_pem_x509_certificate(module.params["ca_certificate"].encode())
    try:
        if module.params["issued"] is None:
            requests = [
                {"certificate": wanted, "public_key": _new_key(root, wanted, module.check_mode)}
                for wanted in module.params["certificates"]
                if _must_renew(root, wanted, ca, module.params["renew_days"])
            ]
            authority = _write_authority(root, module.params, module.check_mode)
            regrouped = _regroup(root, module.params["certificates"], module.check_mode)
            changed = authority or bool(requests or regrouped)
            module.exit_json(changed=changed, requests=requests, authority=authority, regrouped=regrouped)
        wanted = {each["name"]: each for each in module.params["certificates"]}
        if not module.check_mode:
            for name, certificate in module.params["issued"].items():
                _install(root, wanted[name], certificate)
        installed = sorted(module.params["issued"])
        module.exit_json(changed=bool(installed), installed=installed)
    except (OSError, KeyError, ValueError) as error:
        module.fail_json(msg=f"certificates under {root}: {error}")


def _must_renew(root, wanted, ca, days):
    place = root / wanted["name"]
    try:
        cert = x509.load_pem_x509_certificate((place / f"{wanted['name']}.crt").read_bytes())
        key = serialization.load_pem_private_key((place / f"{wanted['name']}.key").read_bytes(), None)
        # verify_directly_issued_by is newer than Debian 12's cryptography.
        ca.public_key().verify(
            cert.signature, cert.tbs_certificate_bytes, ec.ECDSA(cert.signature_hash_algorithm)
        )
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return True
    called = [x509.DNSName(name) for name in wanted["dns"]]
    called += [x509.IPAddress(ipaddress.ip_address(address)) for address in wanted["addresses"]]
    left = cert.not_valid_after - datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return (
        cert.issuer != ca.subject
        or key.public_key().public_numbers() != cert.public_key().public_numbers()
        or names != x509.SubjectAlternativeName(called)
        or left < datetime.timedelta(days=days)
    )


def _new_key(root, wanted, check_mode):
    key = ec.generate_private_key(ec.SECP256R1())
    if not check_mode:
        secret = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        _write(_place(root, wanted) / f"{wanted['name']}.key.next", secret, wanted["group"])
    public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return public.decode()


def _install(root, wanted, certificate):
    place, name = _place(root, wanted), wanted["name"]
    secret = (place / f"{name}.key.next").read_bytes()
    # One file that holds both is replaced in one step; programs that read two are told when both are there.
    _write(place / f"{name}.pem", certificate.encode() + secret, wanted["group"])
    _write(place / f"{name}.key", secret, wanted["group"])
    _write(place / f"{name}.crt", certificate.encode(), wanted["group"])
    (place / f"{name}.key.next").unlink()


def _write_authority(root, params, check_mode):
    """The authority's certificate, at the top and in each program's directory. Returns whether it changed."""
    content = params["ca_certificate"].encode()
    group = {root / "ca.crt": None}
    group |= {root / each["name"] / "ca.crt": each["group"] for each in params["certificates"]}
    stale = [path for path in group if not path.exists() or path.read_bytes() != content]
    if not check_mode:
        _directory(root, None, 0o755)
        for each in params["certificates"]:
            _place(root, each)
        for path in stale:
            _write(path, content, group[path], 0o644)
    return bool(stale)


def _regroup(root, certificates, check_mode):
    """Gives what is there to the group that it is for by now. Returns the names of what was another's."""
    files = [(path, each) for each in certificates for path in (root / each["name"]).glob("*")]
    strange = [(path, each) for path, each in files if _group(path) != (each["group"] or "root")]
    for path, each in [] if check_mode else strange:
        os.chown(path, 0, _gid(each["group"]), follow_symlinks=False)
    return sorted({each["name"] for _, each in strange})


def _group(path):
    try:
        return grp.getgrgid(path.lstat().st_gid).gr_name
    except KeyError:
        return None


def _place(root, wanted):
    return _directory(root / wanted["name"], wanted["group"], 0o750)


def _directory(path, group, mode):
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, 0, _gid(group))
    path.chmod(mode)
    return path


def _write(path, content, group, mode=0o640):
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        os.fchown(file.fileno(), 0, _gid(group))
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    fresh.replace(path)


def _gid(group):
    return 0 if group is None else grp.getgrnam(group).gr_gid


if __name__ == "__main__":
    main()
