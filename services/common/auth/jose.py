"""Signed JSON (JWS): a fixed list of algorithms, public keys only, clock tolerance of FAPI 2.0."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry

from services.common.errors import Fault

# FAPI 2.0 Security Profile 5.4.1. `EdDSA` is the name that RFC 9864 replaces; many clients still send it.
ALGORITHMS = ("ES256", "PS256", "Ed25519", "EdDSA")
FUTURE_SECONDS = 10


class _Registry(JWSRegistry):
    """Accepts longer headers, since a DPoP proof carries an RSA key in its header."""

    max_header_length = 4096


# Unknown header members are ignored (RFC 7515, section 4), unless `crit` names them.
_REGISTRY = _Registry(algorithms=ALGORITHMS, strict_check_header=False)
warnings.filterwarnings("ignore", message="EdDSA is deprecated", category=SecurityWarning)


@dataclass(frozen=True, slots=True)
class Signed:
    """Header and claims of a verified JWS."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]


class Untrusted(Exception):
    """A signed object is not accepted; `fault` is the one fault that its sender is told."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs JWTs for one of the hub's services (Ed25519, RFC 9864)."""

    issuer: str
    key: OKPKey

    def sign(self, kind: str, claims: Mapping[str, Any]) -> str:
        """Return a JWT with `typ` of this kind and this issuer."""
        return encode(kind, {"iss": self.issuer, **claims}, self.key)

    def public_keys(self) -> dict[str, Any]:
        """Return the key set that verifies its signatures (RFC 7517)."""
        return {"keys": [self.key.as_dict(private=False, kid=self.key.kid, alg="Ed25519", use="sig")]}


def encode(kind: str, claims: Mapping[str, Any], key: OKPKey) -> str:
    """Return a JWT of that `typ` (a compact JWS), signed with an Ed25519 key that its `kid` names."""
    header = {"alg": "Ed25519", "typ": kind, "kid": key.kid}
    return jwt.encode(header, dict(claims), key, algorithms=["Ed25519"])


def load_signing_key(stored: bytes) -> OKPKey:
    """Parse the content of a key file; raises `ValueError` if it is not a private key."""
    try:
        key = OKPKey.import_key(json.loads(stored))
    except (JoseError, TypeError, LookupError, AttributeError) as error:
        raise ValueError("no key") from error
    if not key.is_private:
        raise ValueError("no private key")
    key.ensure_kid()
    return key


def new_signing_key() -> bytes:
    """Create an Ed25519 key; return the content of its file."""
    return json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True)).encode()


def header_of(token: str, what: str) -> Mapping[str, Any]:
    """Return the unverified header of a compact JWS; raises `Untrusted` for another format or algorithm."""
    try:
        header: Mapping[str, Any] = jws.extract_compact(token.encode(), registry=_REGISTRY).headers()
    except (JoseError, ValueError, RecursionError) as error:
        raise Untrusted(Fault(what, "Not a signed JWT.", "a compact JWS (RFC 7515)")) from error
    if header.get("alg") not in ALGORITHMS:
        raise Untrusted(Fault(f"{what} alg", "Not an accepted algorithm.", ", ".join(ALGORITHMS[:3])))
    return header


def verify(token: str, key: Key | KeySet, what: str) -> Signed:
    """Verify the signature of a JWT and return its content; raises `Untrusted`, whose fault calls the object `what`."""
    header_of(token, what)
    try:
        decoded = jwt.decode(token, key, registry=_REGISTRY)
    except (JoseError, ValueError, TypeError, RecursionError) as error:  # TypeError: a `crit` that is no list of names
        accepted = "a signature over JSON claims, by that key and with its `kid` if there are several"
        raise Untrusted(
            Fault(f"{what} signature", "The signature does not verify with the key that is known.", accepted)
        ) from error
    return Signed(decoded.header, decoded.claims)


def public_key(document: object, what: str) -> Key:
    """Parse a public JWK that fits an accepted algorithm; raises `Untrusted` for others and for private or shared keys."""
    fault = Fault(
        f"{what} jwk", "Not a public key that can be used here.", "a public JWK: EC P-256, OKP Ed25519 or RSA"
    )
    if not isinstance(document, dict):
        raise Untrusted(fault)
    try:
        key = import_key({name: value for name, value in document.items() if name != "kid"})
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Untrusted(fault) from error
    if not _usable(key):
        raise Untrusted(fault)
    return key


def key_set(keys: Sequence[Mapping[str, Any]]) -> KeySet:
    """Return a key set of JWKs; raises joserfc's `JoseError` or `ValueError`."""
    return KeySet([import_key(dict(key)) for key in keys])


def check_window(claims: Mapping[str, Any], now: datetime, what: str, *, max_age: int | None = None) -> None:
    """Raise `Untrusted` if the claims are expired, not yet valid, from the future (beyond 10 s) or older than `max_age`."""
    present = now.timestamp()
    times = {name: claims[name] for name in ("iat", "nbf", "exp") if name in claims}
    for name, value in times.items():
        # NaN is neither past nor future: a token with it would never expire.
        if isinstance(value, bool) or not isinstance(value, int | float) or not -inf < value < inf:
            raise Untrusted(Fault(f"{what} {name}", "Not a number of seconds.", "seconds since 1970"))
    if times.get("exp", present + 1) <= present:
        raise Untrusted(Fault(f"{what} exp", "It has expired.", "a time still to come"))
    for name in ("iat", "nbf"):
        if times.get(name, present) > present + FUTURE_SECONDS:
            raise Untrusted(Fault(f"{what} {name}", "It lies in the future.", f"at most {FUTURE_SECONDS} s ahead"))
    if max_age is not None and times.get("iat", float("-inf")) < present - max_age:
        raise Untrusted(Fault(f"{what} iat", "Missing or too old.", f"at most {max_age} s ago"))


def check_claims(actual: Mapping[str, Any], expected: Mapping[str, object], what: str) -> None:
    """Raise `Untrusted` if a claim differs from its expected value, which is public and may be in the fault."""
    for name, value in expected.items():
        if actual.get(name) != value:
            raise Untrusted(Fault(f"{what} {name}", "Missing or not the one expected.", str(value)))


def check_texts(actual: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    """Raise `Untrusted` if one of these claims is not a text of 1 to 256 printable characters."""
    for name in names:
        value = actual.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= 256 or not value.isprintable():
            raise Untrusted(Fault(f"{what} {name}", "Missing or malformed.", "1 to 256 printable characters"))


def _usable(key: Key) -> bool:
    if isinstance(key, ECKey):
        return key.curve_name == "P-256" and not key.is_private
    if isinstance(key, OKPKey):
        return key.curve_name == "Ed25519" and not key.is_private
    return isinstance(key, RSAKey) and not key.is_private and key.raw_value.key_size >= 2048
