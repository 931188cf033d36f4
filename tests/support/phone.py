"""An authenticator for tests: makes passkeys and assertions as the hub receives them (WebAuthn Level 3, section 6.1)."""

import json
import os
from dataclasses import dataclass, field
from hashlib import sha256

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from services.common.encoding import base64url

HERE, VERIFIED, WITH_KEY = 0x01, 0x04, 0x40


@dataclass(slots=True)
class Phone:
    """An authenticator with one passkey for one origin."""

    origin: str
    name: bytes = field(default_factory=lambda: os.urandom(16))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    shown: int = 0

    def make(self, options: str, cose: object = None) -> str:
        """Return the answer to the options for a new passkey; `cose` replaces the public key."""
        numbers = self.key.public_key().public_numbers()
        own = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        about = bytes(16) + len(self.name).to_bytes(2, "big") + self.name + cbor2.dumps(own if cose is None else cose)
        made = {"fmt": "none", "attStmt": {}, "authData": self._data(HERE | VERIFIED | WITH_KEY) + about}
        return self._answer("webauthn.create", options, {"attestationObject": cbor2.dumps(made)})

    def show(self, options: str) -> str:
        """Return the answer to the options for a sign-in."""
        self.shown += 1
        data = self._data(HERE | VERIFIED)
        signed = self.key.sign(data + sha256(self._client("webauthn.get", options)).digest(), ec.ECDSA(SHA256()))
        return self._answer("webauthn.get", options, {"authenticatorData": data, "signature": signed})

    def _data(self, flags: int) -> bytes:
        host = self.origin.partition("://")[2].partition(":")[0]
        return sha256(host.encode()).digest() + bytes([flags]) + self.shown.to_bytes(4, "big")

    def _client(self, kind: str, options: str) -> bytes:
        told = {"type": kind, "challenge": json.loads(options)["challenge"], "origin": self.origin}
        return json.dumps(told).encode()

    def _answer(self, kind: str, options: str, parts: dict[str, bytes]) -> str:
        response = {"clientDataJSON": self._client(kind, options), **parts}
        name = base64url(self.name)
        told = {member: base64url(part) for member, part in response.items()}
        return json.dumps({"id": name, "rawId": name, "type": "public-key", "response": told})
