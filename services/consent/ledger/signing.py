"""The ledger's key: it signs checkpoints and receipts, so that one public key verifies everything of the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from services.common.auth.jose import encode
from services.common.encoding import base64url
from services.common.transparency_log.signed_notes import PLAIN, Checkpoint, Verifier, signed

RECEIPT_TYPE = "receipt+jwt"


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """The ledger's name (the `origin` of its checkpoints) and its Ed25519 key."""

    origin: str
    key: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """The public key with the ledger's name, as verifiers need it."""
        return Verifier(self.origin, PLAIN, self.key.public_key().public_bytes_raw())

    def checkpoint(self, size: int, root: bytes) -> str:
        """Return a signed checkpoint. Notes contain line ends and signed JSON none, so neither can pass for the other."""
        return str(signed(str(Checkpoint(self.origin, size, root)), self.origin, self.key))

    def receipt(self, claims: Mapping[str, Any]) -> str:
        """Return the claims as signed JSON (a compact JWS). No `iss` is added: it signs the receipt as she reads it."""
        private = {"d": base64url(self.key.private_bytes_raw()), "kid": str(self.verifier).rpartition("+")[0]}
        key = OKPKey.import_key({**jwk_of(self.verifier).as_dict(private=False), **private})
        return encode(RECEIPT_TYPE, claims, key)


def jwk_of(known: Verifier) -> OKPKey:
    """Return a verifier's key as a JSON Web Key."""
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": base64url(known.key)})
