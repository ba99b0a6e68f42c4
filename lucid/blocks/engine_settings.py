"""blockchain-engine's settings."""

from pathlib import Path
from typing import Annotated

import msgspec

from lucid.blocks.chain import Plan
from lucid.blocks.validator import Validator
from lucid.evidence.fields import Name
from lucid.kit import settings
from lucid.kit.settings import Secret, SettingsError

MIN_BLOCK_SECONDS = 5
"""Outside development; there, tests would wait too long."""


class Settings(settings.Common, frozen=True, kw_only=True):
    """What can be set. A chain keeps origin, block time and validator that it was begun with."""

    block_time_seconds: Annotated[
        float,
        msgspec.Meta(
            ge=0.1,
            le=300,
            description="time between two blocks, at least 5 outside development",
            extra={"unit": "seconds"},
            examples=["10"],
        ),
    ] = 10.0
    heartbeat_seconds: Annotated[
        float,
        msgspec.Meta(
            ge=1, le=3600, description="a block is made at least this often", extra={"unit": "seconds"}
        ),
    ] = 600.0
    chain_origin: Annotated[
        Name, msgspec.Meta(description="name of the log, without spaces", examples=["example.org/log"])
    ] = "lucid.internal/log"
    validator_name: Annotated[
        Name, msgspec.Meta(description="name that this validator signs as", examples=["example.org/core1"])
    ] = "lucid.internal/validator-1"
    validator_key: Annotated[
        Secret,
        msgspec.Meta(
            description="Ed25519 seed as 64 hex digits", examples=["the output of `openssl rand -hex 32`"]
        ),
    ]


def load() -> Settings:
    """Read and check the settings; raise SettingsError that names the one at fault."""
    found = settings.load(Settings)
    if found.environment != "development" and found.block_time_seconds < MIN_BLOCK_SECONDS:
        raise _fault(
            f"BLOCK_TIME_SECONDS: {found.block_time_seconds:g} is for ENVIRONMENT=development only; "
            f"set {MIN_BLOCK_SECONDS} to 300 seconds"
        )
    return found


def validator(found: Settings) -> Validator:
    """Return the validator; raise SettingsError if its key is not one."""
    try:
        seed = bytes.fromhex(found.validator_key.text())
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise _fault(
            "credential validator_key: must be 64 hex digits (an Ed25519 seed), "
            "for example the output of `openssl rand -hex 32`"
        )
    return Validator(found.validator_name, seed, Path(found.state_directory) / "cosigned-checkpoint")


def plan(found: Settings, own: Validator) -> Plan:
    """Return the chain that these settings describe."""
    return Plan(
        origin=found.chain_origin,
        block_time_ms=round(found.block_time_seconds * 1000),
        validators=(own.cosigner,),
        heartbeat_ms=round(found.heartbeat_seconds * 1000),
    )


def _fault(text: str) -> SettingsError:
    return SettingsError(f"cannot start, settings at fault:\n  {text}")
