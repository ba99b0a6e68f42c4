"""The throwaway authority: what it makes, keeps and renews; OpenSSL's own verdict included."""

import ipaddress
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from lucid.dev import ca
from lucid.dev.ca import ensure
from lucid.kit.tls import client_context


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


class TestIssuing:
    def test_names_the_service_and_what_else_is_wanted(self, tmp_path: Path) -> None:
        issued = ensure(tmp_path, ["storage"], extra_names=["localhost"], extra_addresses=["127.0.0.1"])
        names = load(issued["storage"].cert).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert names.value.get_values_for_type(x509.DNSName) == ["storage.lucid.internal", "localhost"]
        assert names.value.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]

    def test_serves_as_server_and_as_client_and_signs_nothing(self, tmp_path: Path) -> None:
        extensions = load(ensure(tmp_path, ["storage"])["storage"].cert).extensions
        assert set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.CLIENT_AUTH,
        }
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca

    def test_is_valid_since_yesterday(self, tmp_path: Path) -> None:
        issued = ensure(tmp_path, ["storage"])["storage"]
        for path in (issued.cert, issued.ca):
            assert load(path).not_valid_before_utc <= datetime.now(UTC) - timedelta(hours=23)

    def test_is_accepted_by_openssl(self, tmp_path: Path) -> None:
        issued = ensure(tmp_path, ["storage"])["storage"]
        context = client_context(issued.cert, issued.key, issued.ca)
        assert context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 1}

    def test_keeps_keys_from_others(self, tmp_path: Path) -> None:
        ensure(tmp_path / "new", ["storage"])
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
        keys = list((tmp_path / "new").glob("*.key"))
        assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
        assert len(keys) == 2

    @pytest.mark.parametrize("name", ["ca", "../etc", "Upper", "", "-x", "a.b"])
    def test_refuses_names_that_are_no_service(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match="cannot be a service's name"):
            ensure(tmp_path, [name])
        assert not list(tmp_path.iterdir())


class TestKeeping:
    def test_what_is_good_is_not_touched(self, tmp_path: Path) -> None:
        ensure(tmp_path, ["storage", "recorder"])
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        ensure(tmp_path, ["recorder", "storage"])
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_a_further_service_is_signed_by_the_same_authority(self, tmp_path: Path) -> None:
        authority = ensure(tmp_path, ["storage"])["storage"].ca.read_bytes()
        added = ensure(tmp_path, ["storage", "recorder"])["recorder"]
        assert added.ca.read_bytes() == authority
        load(added.cert).verify_directly_issued_by(load(added.ca))


class TestRenewing:
    def test_of_what_expires_within_a_week(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(ca, "_LEAF_LIFE", timedelta(days=6))
            old = load(ensure(tmp_path, ["storage"])["storage"].cert)
        new = ensure(tmp_path, ["storage"])["storage"]
        assert load(new.cert).not_valid_after_utc > old.not_valid_after_utc + timedelta(days=20)
        load(new.cert).verify_directly_issued_by(load(new.ca))

    def test_of_everything_with_an_authority_that_expires(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(ca, "_AUTHORITY_LIFE", timedelta(days=36))
            old = load(ensure(tmp_path, ["storage"])["storage"].cert)
        new = ensure(tmp_path, ["storage"])["storage"]
        assert load(new.cert).serial_number != old.serial_number
        load(new.cert).verify_directly_issued_by(load(new.ca))

    def test_of_other_names(self, tmp_path: Path) -> None:
        old = load(ensure(tmp_path, ["storage"])["storage"].cert)
        new = load(ensure(tmp_path, ["storage"], extra_names=["localhost"])["storage"].cert)
        assert new.serial_number != old.serial_number

    @pytest.mark.parametrize("damaged", ["storage.crt", "storage.key", "ca.crt", "ca.key"])
    def test_of_damaged_files(self, tmp_path: Path, damaged: str) -> None:
        ensure(tmp_path, ["storage"])
        (tmp_path / damaged).write_text("garbage")
        issued = ensure(tmp_path, ["storage"])["storage"]
        load(issued.cert).verify_directly_issued_by(load(issued.ca))
        client_context(issued.cert, issued.key, issued.ca)
