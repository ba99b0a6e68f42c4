"""TLS contexts, shaken hands with in memory by the real library on both sides."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from lucid.dev.ca import Issued, ensure
from lucid.kit.tls import (
    TlsConfig,
    TlsError,
    client_context,
    internal_name,
    peer_names,
    server_context,
    service_of,
)


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Issued]:
    return ensure(tmp_path_factory.mktemp("ca"), ["storage", "recorder"])


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return ensure(tmp_path_factory.mktemp("other"), ["recorder"])["recorder"]


def serving(files: Issued) -> ssl.SSLContext:
    return server_context(TlsConfig(files.cert, files.key, files.ca, "mutual"))


def calling(files: Issued) -> ssl.SSLContext:
    return client_context(files.cert, files.key, files.ca)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[Any, str | None]:
    """Shake hands in memory; return the certificate the server saw, and the protocol's version."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    callee = server.wrap_bio(to_server, to_client, server_side=True)
    caller = client.wrap_bio(to_client, to_server, server_hostname=name)
    open_ends = [caller, callee]
    for _ in range(10):
        for end in list(open_ends):
            try:
                end.do_handshake()
                open_ends.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not open_ends:
            return callee.getpeercert(), callee.version()
    raise AssertionError("the handshake does not end")


def replace(files: Issued, by: Issued) -> None:
    """Puts another's files in the place of these, as a renewal does."""
    for old, new in ((files.key, by.key), (files.cert, by.cert), (files.ca, by.ca)):
        before = old.stat().st_mtime_ns
        old.write_bytes(new.read_bytes())
        os.utime(old, ns=(before + 1, before + 1))


class TestRenewal:
    """By files in their own directories, so that a test may change them."""

    @pytest.fixture
    def old(self, tmp_path: Path) -> dict[str, Issued]:
        return ensure(tmp_path / "old", ["storage", "recorder"])

    @pytest.fixture
    def new(self, tmp_path: Path) -> dict[str, Issued]:
        return ensure(tmp_path / "new", ["storage", "recorder"])

    def test_is_taken_by_both_sides_with_the_next_connection(
        self, old: dict[str, Issued], new: dict[str, Issued]
    ) -> None:
        server, client = serving(old["storage"]), calling(old["recorder"])
        before, _ = handshake(server, client, internal_name("storage"))
        for name, files in old.items():
            replace(files, new[name])
        after, _ = handshake(server, client, internal_name("storage"))
        assert before["serialNumber"] != after["serialNumber"]
        assert handshake(serving(new["storage"]), client, internal_name("storage"))[0] == after

    def test_ends_the_trust_in_an_authority_that_is_taken_out(
        self, old: dict[str, Issued], new: dict[str, Issued]
    ) -> None:
        server, client = serving(old["storage"]), calling(old["recorder"])
        handshake(server, client, internal_name("storage"))
        replace(old["storage"], new["storage"])  # with the file that says whom both trust
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(server, client, internal_name("storage"))

    def test_waits_for_the_other_half_of_a_pair(self, old: dict[str, Issued], new: dict[str, Issued]) -> None:
        files, by = old["storage"], new["storage"]
        server, client = serving(files), calling(old["recorder"])
        files.key.write_bytes(by.key.read_bytes())
        handshake(server, client, internal_name("storage"))
        replace(files, by)
        handshake(server, calling(new["recorder"]), internal_name("storage"))


class TestMutual:
    def test_each_side_sees_the_other_s_name(self, issued: dict[str, Issued]) -> None:
        cert, version = handshake(
            serving(issued["storage"]), calling(issued["recorder"]), internal_name("storage")
        )
        assert peer_names(cert) == {"recorder.lucid.internal"}
        assert version == "TLSv1.3"

    def test_a_client_without_a_certificate_is_refused(self, issued: dict[str, Issued]) -> None:
        anonymous = ssl.create_default_context(cafile=issued["storage"].ca)
        with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            handshake(serving(issued["storage"]), anonymous, internal_name("storage"))

    def test_a_client_of_another_authority_is_refused(
        self, issued: dict[str, Issued], stranger: Issued
    ) -> None:
        foreign = client_context(stranger.cert, stranger.key, issued["storage"].ca)
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(serving(issued["storage"]), foreign, internal_name("storage"))

    def test_a_server_of_another_authority_is_refused(
        self, issued: dict[str, Issued], stranger: Issued
    ) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(serving(stranger), calling(issued["recorder"]), internal_name("recorder"))

    def test_a_sibling_cannot_pass_for_the_callee(self, issued: dict[str, Issued]) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            handshake(serving(issued["recorder"]), calling(issued["recorder"]), internal_name("storage"))

    def test_old_protocols_are_not_spoken(self, issued: dict[str, Issued]) -> None:
        outdated = calling(issued["recorder"])
        with pytest.warns(DeprecationWarning, match="TLSVersion"):
            outdated.minimum_version = outdated.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            handshake(serving(issued["storage"]), outdated, internal_name("storage"))

    def test_needs_an_authority(self, issued: dict[str, Issued]) -> None:
        with pytest.raises(TlsError, match="ca: mode 'mutual' needs"):
            TlsConfig(issued["storage"].cert, issued["storage"].key, None, "mutual")


class TestServerOnly:
    def test_takes_clients_without_a_certificate(self, issued: dict[str, Issued]) -> None:
        files = issued["storage"]
        anonymous = ssl.create_default_context(cafile=files.ca)
        server = server_context(TlsConfig(files.cert, files.key, None, "server"))
        cert, _ = handshake(server, anonymous, internal_name("storage"))
        assert peer_names(cert) == frozenset()


class TestUnusableFiles:
    @pytest.mark.parametrize("field", ["cert", "key", "ca"])
    def test_that_are_missing_are_named(self, issued: dict[str, Issued], field: str, tmp_path: Path) -> None:
        files = {name: getattr(issued["storage"], name) for name in ("cert", "key", "ca")}
        files[field] = tmp_path / "gone.pem"
        with pytest.raises(TlsError, match=f"^{field}: cannot read .*gone.pem: No such file"):
            server_context(TlsConfig(**files, mode="mutual"))

    def test_that_do_not_belong_together_are_named(self, issued: dict[str, Issued]) -> None:
        storage, recorder = issued["storage"], issued["recorder"]
        with pytest.raises(TlsError, match=r"storage\.crt and .*recorder\.key must be"):
            client_context(storage.cert, recorder.key, storage.ca)

    @pytest.mark.parametrize("make", [serving, calling])
    def test_that_are_no_pem_are_named(
        self, issued: dict[str, Issued], tmp_path: Path, make: Callable[[Issued], ssl.SSLContext]
    ) -> None:
        garbage = tmp_path / "ca.crt"
        garbage.write_text("garbage")
        with pytest.raises(TlsError, match=r"ca: .*ca\.crt must hold a PEM certificate"):
            make(Issued(issued["storage"].cert, issued["storage"].key, garbage))

    def test_with_a_password_are_refused_rather_than_asked_for(
        self, issued: dict[str, Issued], tmp_path: Path
    ) -> None:
        files = issued["storage"]
        key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
        locked = tmp_path / "locked.key"
        locked.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
        )
        with pytest.raises(TlsError, match="its own unencrypted key"):
            client_context(files.cert, locked, files.ca)


class TestNames:
    def test_of_services_go_there_and_back(self) -> None:
        assert internal_name("auth-service") == "auth-service.lucid.internal"
        assert service_of("auth-service.lucid.internal") == "auth-service"

    @pytest.mark.parametrize(
        "name", ["auth-service", "", ".lucid.internal", "a.b.lucid.internal", "a.lucid.internal.example.org"]
    )
    def test_of_anything_else_are_no_service(self, name: str) -> None:
        assert service_of(name) is None

    def test_of_a_peer_are_its_dns_names_only(self) -> None:
        cert = {
            "subject": ((("commonName", "liar.lucid.internal"),),),
            "subjectAltName": (("DNS", "A.lucid.internal"), ("IP Address", "127.0.0.1")),
        }
        assert peer_names(cert) == {"a.lucid.internal"}
        assert peer_names(None) == peer_names({}) == frozenset()
