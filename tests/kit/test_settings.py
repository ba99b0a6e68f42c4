"""Settings: what is wrong is named, and secrets stay secret."""

import copy
import json
import logging
import pickle
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from lucid.kit import settings
from lucid.kit.settings import Secret, SettingsError

HUSH = b"correct horse battery"


class Example(settings.Common, frozen=True, kw_only=True):
    """Settings of a service."""

    pause: Annotated[
        float, Meta(gt=0, description="time between tries", extra={"unit": "seconds"}, examples=[2.5])
    ]
    retries: Annotated[int, Meta(ge=0, le=9, description="tries", examples=[3])] = 3
    former_key: Secret | None = None
    master_key: Annotated[Secret, Meta(description="32 bytes, hex", examples=["`openssl rand -hex 32`"])]


GOOD = {"STATE_DIRECTORY": "/s", "TLS_DIRECTORY": "/t", "PAUSE": "1.5"}


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    (tmp_path / "master_key").write_bytes(HUSH + b"\n")
    return tmp_path


def faults(environ: dict[str, str], credentials: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        settings.load(Example, environ, credentials)
    return str(caught.value)


class TestLoading:
    def test_reads_variables_defaults_and_credentials(self, credentials: Path) -> None:
        found = settings.load(Example, GOOD | {"CREDENTIALS_DIRECTORY": str(credentials)})
        assert (found.pause, found.retries, found.environment) == (1.5, 3, "production")
        assert found.master_key.reveal() == HUSH + b"\n"
        assert found.master_key.text() == HUSH.decode()

    def test_takes_an_empty_variable_for_an_absent_one(self, credentials: Path) -> None:
        assert settings.load(Example, GOOD | {"RETRIES": ""}, credentials).retries == 3

    def test_takes_a_credential_that_may_be_absent_if_it_is_there(self, credentials: Path) -> None:
        assert settings.load(Example, GOOD, credentials).former_key is None
        (credentials / "former_key").write_bytes(b"the one before\n")
        former = settings.load(Example, GOOD, credentials).former_key
        assert former is not None
        assert former.text() == "the one before"
        (credentials / "former_key").write_bytes(b"")
        assert "credential `former_key` is empty" in faults(GOOD, credentials)

    def test_never_reads_a_secret_from_the_environment(self, tmp_path: Path) -> None:
        message = faults(GOOD | {"MASTER_KEY": "from the environment"}, tmp_path)
        assert "credential master_key: credential `master_key` cannot be read" in message
        assert "from the environment" not in message

    def test_never_takes_the_working_directory_for_the_credentials(
        self, credentials: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(credentials)
        assert "no credentials directory" in faults(GOOD | {"CREDENTIALS_DIRECTORY": ""})


class TestFaults:
    def test_name_the_setting_its_unit_and_an_example(self, credentials: Path) -> None:
        message = faults(GOOD | {"PAUSE": "-1"}, credentials)
        assert (
            "PAUSE: Expected `float` > 0.0, got '-1' (time between tries in seconds, for example 2.5)"
            in message
        )

    def test_of_a_missing_setting_say_so(self, credentials: Path) -> None:
        message = faults({k: v for k, v in GOOD.items() if k != "STATE_DIRECTORY"}, credentials)
        assert "STATE_DIRECTORY: is missing (directory for what the service keeps" in message
        assert "for example /var/lib/lucid" in message

    def test_are_told_all_at_once(self, tmp_path: Path) -> None:
        lines = faults(
            {"RETRIES": "ten", "DRAIN_SECONDS": "301", "ENVIRONMENT": "prod"}, tmp_path
        ).splitlines()
        named = {line.strip().split(":")[0] for line in lines[1:]}
        assert named == {
            "ENVIRONMENT", "STATE_DIRECTORY", "TLS_DIRECTORY", "DRAIN_SECONDS", "PAUSE", "RETRIES",
            "credential master_key",
        }  # fmt: skip
        assert any("in seconds, for example 6" in line for line in lines)

    def test_of_a_credential_that_is_not_there_name_it(self, tmp_path: Path) -> None:
        message = faults(GOOD, tmp_path)
        assert "credential `master_key` cannot be read: No such file or directory" in message
        assert "for example `openssl rand -hex 32`" in message

    @pytest.mark.parametrize("content", [b"", b"\n", b"  \n"])
    def test_of_an_empty_credential_name_it(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "master_key").write_bytes(content)
        assert "credential `master_key` is empty" in faults(GOOD, tmp_path)

    def test_never_show_a_credential(self, credentials: Path) -> None:
        assert HUSH.decode() not in faults(GOOD | {"PAUSE": "no"}, credentials)

    def test_of_what_a_service_cannot_do_without_look_the_same(self) -> None:
        error = settings.missing(settings.Common, "mongodb_url")
        assert "MONGODB_URL: is missing (MongoDB replica set, for example mongodb://data1" in str(error)


class TestSecrets:
    @pytest.fixture
    def loaded(self, credentials: Path) -> Example:
        return settings.load(Example, GOOD, credentials)

    def test_do_not_show_when_printed(self, loaded: Example) -> None:
        key = loaded.master_key
        for shown in (repr(key), str(key), f"{key}", f"{key!r}", "%s" % key, repr(loaded), str([key])):  # noqa: UP031 - one of the ways
            assert "***" in shown
            assert "horse" not in shown

    def test_do_not_show_in_logs(self, loaded: Example, caplog: pytest.LogCaptureFixture) -> None:
        logging.getLogger("test").warning("settings %s, key %r", loaded, loaded.master_key)
        assert "Secret(***)" in caplog.text
        assert "horse" not in caplog.text

    def test_do_not_show_in_errors(self, loaded: Example) -> None:
        assert "horse" not in repr(ValueError(loaded.master_key, loaded))

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_are_not_pickled(self, loaded: Example, protocol: int) -> None:
        with pytest.raises(TypeError, match="Secret is not pickled"):
            pickle.dumps(loaded.master_key, protocol)

    def test_are_not_copied(self, loaded: Example) -> None:
        with pytest.raises(TypeError, match="Secret is not pickled or copied"):
            copy.deepcopy(loaded.master_key)

    def test_are_not_serialised(self, loaded: Example) -> None:
        for encode in (msgspec.json.encode, msgspec.to_builtins, json.dumps):
            with pytest.raises(TypeError):
                encode(loaded.master_key)
