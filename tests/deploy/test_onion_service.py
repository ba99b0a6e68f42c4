"""Keys and addresses of onion services, as Tor itself makes them."""

import base64

import pytest

from lucid.deploy import onion_service
from lucid.deploy.errors import SiteError

# RFC 8032, 7.1, test 1: the public key of this seed.
SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def test_a_known_address_is_that_of_its_key() -> None:
    # An address in public use; its first 32 bytes are the key.
    known = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"
    key = base64.b32decode(known.removesuffix(".onion").upper())[:32]
    assert onion_service.address(key) == known


def test_the_files_are_a_tag_and_the_key() -> None:
    made = onion_service.of(SEED)
    public, secret = (base64.b64decode(made[kind]) for kind in ("public", "secret"))
    assert public == b"== ed25519v1-public: type0 ==\0\0\0" + PUBLIC
    assert secret.startswith(b"== ed25519v1-secret: type0 ==\0\0\0")
    assert len(secret) == 96
    assert (secret[32] & 7, secret[63] >> 6) == (0, 1)  # clamped (RFC 8032, 5.1.5)
    assert made["address"] == onion_service.address(PUBLIC)


@pytest.mark.parametrize("seed", ["", "00" * 31, "zz" * 32, "00" * 32 + "\n"])
def test_what_is_no_seed_is_refused(seed: str) -> None:
    with pytest.raises(SiteError, match="64 hex digits"):
        onion_service.of(seed)
