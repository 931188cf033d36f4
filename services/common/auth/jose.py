"""Signed JSON (JWS) as this hub accepts it: an explicit list of algorithms, public keys only, clocks per FAPI 2.0."""

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
    """Leaves room in a header for an RSA key, which a DPoP proof carries there."""

    max_header_length = 4096


# Header members that are not known here are passed over (RFC 7515, section 4), unless `crit` names them.
_REGISTRY = _Registry(algorithms=ALGORITHMS, strict_check_header=False)
warnings.filterwarnings("ignore", message="EdDSA is deprecated", category=SecurityWarning)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a verified JWS says."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]


class Untrusted(Exception):
    """A signed object that cannot be believed; carries the one fault to tell its sender."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs in the name of one of the hub's services (Ed25519, RFC 9864)."""

    issuer: str
    key: OKPKey

    def sign(self, kind: str, claims: Mapping[str, Any]) -> str:
        """A JWT of that `typ`, with this issuer."""
        return encode(kind, {"iss": self.issuer, **claims}, self.key)

    def public_keys(self) -> dict[str, Any]:
        """The keys that verify what it signs (RFC 7517)."""
        return {"keys": [self.key.as_dict(private=False, kid=self.key.kid, alg="Ed25519", use="sig")]}


def encode(kind: str, claims: Mapping[str, Any], key: OKPKey) -> str:
    """Return a JWT of that `typ` (a compact JWS), signed with an Ed25519 key that its `kid` names."""
    header = {"alg": "Ed25519", "typ": kind, "kid": key.kid}
    return jwt.encode(header, dict(claims), key, algorithms=["Ed25519"])


def load_signing_key(stored: bytes) -> OKPKey:
    """A signing key from its file; raises `ValueError` when that holds none."""
    try:
        key = OKPKey.import_key(json.loads(stored))
    except (JoseError, TypeError, LookupError, AttributeError) as error:
        raise ValueError("no key") from error
    if not key.is_private:
        raise ValueError("no private key")
    key.ensure_kid()
    return key


def new_signing_key() -> bytes:
    """A new Ed25519 key as it is stored."""
    return json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True)).encode()


def header_of(token: str, what: str) -> Mapping[str, Any]:
    """The header of a compact JWS, before anything of it is believed; the algorithm is already one of ours."""
    try:
        header: Mapping[str, Any] = jws.extract_compact(token.encode(), registry=_REGISTRY).headers()
    except (JoseError, ValueError, RecursionError) as error:
        raise Untrusted(Fault(what, "Not a signed JWT.", "a compact JWS (RFC 7515)")) from error
    if header.get("alg") not in ALGORITHMS:
        raise Untrusted(Fault(f"{what} alg", "Not an accepted algorithm.", ", ".join(ALGORITHMS[:3])))
    return header


def verify(token: str, key: Key | KeySet, what: str) -> Signed:
    """Check the signature; `what` names the object in faults."""
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
    """A JWK that holds no private or shared secret and fits an accepted algorithm."""
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
    """A key set from JWKs; raises joserfc's `JoseError` or `ValueError`."""
    return KeySet([import_key(dict(key)) for key in keys])


def check_window(claims: Mapping[str, Any], now: datetime, what: str, *, max_age: int | None = None) -> None:
    """Refuse what is expired, not yet valid, issued in the future (10 s are forgiven) or, with `max_age`, too old."""
    present = now.timestamp()
    times = {name: claims[name] for name in ("iat", "nbf", "exp") if name in claims}
    for name, value in times.items():
        # NaN is neither past nor future: whatever bore it would never expire.
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
    """Refuse when a claim differs from what is expected here; expected values are public and may be named."""
    for name, value in expected.items():
        if actual.get(name) != value:
            raise Untrusted(Fault(f"{what} {name}", "Missing or not the one expected.", str(value)))


def check_texts(actual: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    """Refuse when one of these claims is not a text of 1 to 256 printable characters."""
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
