"""Certificates that an operator supplies are judged before a host is touched."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from lucid.deploy.supplied import problems

NOW = datetime(2030, 6, 1, tzinfo=UTC)
NAMES = ["desktops.example.org", "192.0.2.11"]
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def signed(
    name: str, key: Key, issuer: str, by: Key, names: x509.SubjectAlternativeName | None, begins: int = -30
) -> x509.Certificate:
    """Valid for 60 days from `begins` days after NOW."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=begins))
        .not_valid_after(NOW + timedelta(days=begins + 60))
    )
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(by, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


def private(key: Key, password: bytes | None = None) -> str:
    secret = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(*form, secret).decode()


HOST_KEY, MIDDLE_KEY, ROOT_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
MIDDLE = signed("middle", MIDDLE_KEY, "root", ROOT_KEY, None)


def host(*dns: str, key: Key = HOST_KEY, begins: int = -30) -> x509.Certificate:
    names = [x509.DNSName(name) for name in dns or NAMES[:1]]
    address = x509.IPAddress(ip_address(NAMES[1]))
    called = x509.SubjectAlternativeName([*names, address])
    return signed("desktops", key, "middle", MIDDLE_KEY, called, begins)


def test_a_pair_with_its_chain_in_order_good_for_the_names_has_no_problems() -> None:
    assert problems(pem(host(), MIDDLE), private(HOST_KEY), NAMES, NOW) == ()


@pytest.mark.parametrize("name", ["desktops.example.org", "DESKTOPS.example.org"])
def test_a_wildcard_stands_for_the_leftmost_label(name: str) -> None:
    assert problems(pem(host("*.example.org")), private(HOST_KEY), [name], NOW) == ()


@pytest.mark.parametrize(
    "name", ["example.org", "a.desktops.example.org", "desktops.example.com", "192.0.2.1"]
)
def test_a_name_that_it_is_not_good_for_is_named(name: str) -> None:
    (problem,) = problems(pem(host("*.example.org")), private(HOST_KEY), [name], NOW)
    assert f"is not good for {name}; correct lucid_public_names" in problem


class TestFiles:
    def test_that_are_no_certificate_are_refused(self) -> None:
        for text in ("", "garbage", private(HOST_KEY), pem(host())[:200]):
            (problem,) = problems(text, private(HOST_KEY), NAMES, NOW)
            assert problem.startswith("public_certificate_chain is no PEM certificate")

    def test_that_are_no_key_are_refused_without_being_quoted(self) -> None:
        key = private(HOST_KEY)
        for text in ("", "garbage", pem(host()), key[: len(key) // 2]):
            (problem,) = problems(pem(host()), text, NAMES, NOW)
            assert problem == "public_certificate_key is no PEM private key, or is damaged"

    def test_that_need_a_password_are_refused(self) -> None:
        (problem,) = problems(pem(host()), private(HOST_KEY, b"secret"), NAMES, NOW)
        assert problem.startswith("public_certificate_key is encrypted with a password; decrypt it")


class TestAPair:
    def test_that_is_none_is_refused(self) -> None:
        (problem,) = problems(pem(host()), private(MIDDLE_KEY), NAMES, NOW)
        assert problem.startswith("public_certificate_key is not the key of the first certificate")

    def test_in_the_wrong_order_is_refused(self) -> None:
        found = problems(pem(MIDDLE, host()), private(HOST_KEY), NAMES, NOW)
        assert found[0].startswith("public_certificate_key is not the key of the first certificate")
        assert "CN=middle was not issued by the one behind it (CN=desktops)" in found[1]

    def test_with_a_key_that_clients_refuse_is_refused(self) -> None:
        weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
        (problem,) = problems(pem(host(key=weak)), private(weak), NAMES, NOW)
        assert problem == "public_certificate_key has 1024 bits; clients want 2048 at least"

    def test_without_names_of_the_kind_that_clients_read_is_refused(self) -> None:
        nameless = signed("desktops.example.org", HOST_KEY, "middle", MIDDLE_KEY, None)
        (problem,) = problems(pem(nameless), private(HOST_KEY), NAMES, NOW)
        assert "has no subjectAltName" in problem


@pytest.mark.parametrize(
    ("begins", "words"),
    [
        (-60, "CN=desktops has expired, on 2030-06-01"),
        (-70, "CN=desktops has expired, on 2030-05-22"),
        (1, "CN=desktops is not valid before 2030-06-02"),
    ],
)
def test_one_that_is_not_of_today_is_refused(begins: int, words: str) -> None:
    (problem,) = problems(pem(host(begins=begins), MIDDLE), private(HOST_KEY), NAMES, NOW)
    assert words in problem


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wrong = problems(pem(host("a.example.com", begins=-70)), private(ROOT_KEY), NAMES[:1], NOW)
    assert [any(word in each for each in wrong) for word in ("not the key", "expired", "not good for")] == [
        True,
        True,
        True,
    ]
