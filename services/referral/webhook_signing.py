"""Signs webhooks as Standard Webhooks 1.0 says: HMAC-SHA256 (`v1`) or Ed25519 (`v1a`); secrets rest encrypted."""

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import digest
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.common.authenticated_encryption import seal, unseal
from services.common.secret_files import secret

HMAC, ED25519 = "hmac", "ed25519"
SCHEMES = (ED25519, HMAC)
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Secret:
    """What one webhook is signed with: its scheme, and the bytes of an HMAC key or of an Ed25519 private key."""

    scheme: str
    key: bytes

    def __repr__(self) -> str:
        return f"Secret({self.scheme})"

    @classmethod
    def new(cls, scheme: str) -> "Secret":
        """Return a new random secret."""
        return cls(scheme, os.urandom(SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> "Secret":
        """Return the secret of a text with the prefix `whsec_` or `whsk_`; raises `ValueError`."""
        prefix, _, encoded = text.partition("_")
        scheme = {"whsec": HMAC, "whsk": ED25519}.get(prefix)
        if scheme is None or not encoded:
            raise ValueError("not a secret")
        return cls(scheme, b64decode(encoded, validate=True))

    def told(self) -> str:
        """Return what its receiver verifies with: the shared secret (`whsec_`), or the public key (`whpk_`)."""
        if self.scheme == HMAC:
            return f"whsec_{_text(self.key)}"
        return f"whpk_{_text(Ed25519PrivateKey.from_private_bytes(self.key).public_key().public_bytes_raw())}"

    def sign(self, signed: bytes) -> str:
        """Return a signature with the identifier of its scheme."""
        if self.scheme == HMAC:
            return f"v1,{_text(digest(self.key, signed, sha256))}"
        return f"v1a,{_text(Ed25519PrivateKey.from_private_bytes(self.key).sign(signed))}"


def signed_headers(secrets: Sequence[Secret], name: str, at: datetime, body: str) -> Mapping[str, str]:
    """Return the headers of a webhook, with a signature by each secret. `name` must hold no full stop."""
    stamp = str(int(at.timestamp()))
    signed = f"{name}.{stamp}.{body}".encode()
    signatures = " ".join(each.sign(signed) for each in secrets)
    return {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": signatures}


@dataclass(frozen=True, slots=True)
class SecretStore:
    """Encrypts the secrets of webhooks by a key in a file, which is made at the first use."""

    file: Path

    def seal(self, agency: str, kept: Secret) -> bytes:
        """Return a secret encrypted for one agency."""
        return seal(secret(self.file), kept.key, _bound(agency, kept.scheme))

    def unseal(self, agency: str, scheme: str, sealed: bytes) -> Secret:
        """Return a secret; raises `InvalidTag` for one of another agency, scheme or key, `Damaged` for a damaged file."""
        return Secret(scheme, unseal(secret(self.file), sealed, _bound(agency, scheme)))

    def unseal_public(self, agency: str, scheme: str, sealed: bytes) -> Secret | None:
        """Return a secret if what is told of it is a public key, None otherwise; raises as `unseal` does."""
        return self.unseal(agency, scheme, sealed) if scheme == ED25519 else None


def _bound(agency: str, scheme: str) -> bytes:
    return f"webhook {scheme} {agency}".encode()


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
