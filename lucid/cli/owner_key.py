"""The key that signs a person's trust policies: made on first use, and theirs alone."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lucid.cli.output import Misuse, err
from lucid.cli.saved import Keep
from lucid.dev.layout import write_private

SEED_BYTES = 32


class OwnerKey:
    """The file beside the login's: an Ed25519 seed in hex, readable by its owner alone."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Keep().path.with_name("owner.key")

    def load_or_make(self) -> Ed25519PrivateKey:
        """The key. Raises Misuse for a file that holds none."""
        try:
            seed = bytes.fromhex(self.path.read_text().strip())
        except FileNotFoundError:
            return self._make()
        except ValueError:
            seed = b""
        if len(seed) != SEED_BYTES:
            raise Misuse(f"{self.path} is not a key as `lucid policy set` makes it: 64 hex digits")
        return Ed25519PrivateKey.from_private_bytes(seed)

    def _make(self) -> Ed25519PrivateKey:
        key = Ed25519PrivateKey.generate()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.path, key.private_bytes_raw().hex().encode() + b"\n")
        err.print(
            f"Made your key: {self.path}. All your policies are signed by it from now on. Keep a copy:"
            " whoever has it can sign in your name, and without it you cannot."
        )
        return key
