"""Shows, replaces, adds and removes the public keys of an agency; one transaction each.

An agency has at most two keys, so that it can begin to sign with a new one before the old one goes. Its id stays, and with it
every ppid, link and grant. A key set at a URL is read once, by the operator's command: who takes that site over later
gets no key in.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from joserfc.errors import JoseError

from services.common.auth.jose import Untrusted, key_set, public_key
from services.common.errors import Fault, Problem, invalid
from services.common.http.outgoing import OutgoingClient, Unreachable
from services.common.media_types import read_media_type
from services.intake import store
from services.intake.context import Context

MOST_KEYS = 2
MOST_BYTES = 64 * 1024
JSON_TYPES = frozenset({"application/json", "application/jwk-set+json"})
_A_SET = '{"keys": [...]}'


def show_keys(context: Context, agency: str) -> list[dict[str, str]]:
    """Return thumbprint, kid and kind of each key of an agency; raise 404 if the agency is unknown."""
    with context.database.reading() as connection:
        row = store.get_agency(connection, agency)
    if row is None:
        raise unknown_agency()
    return _told(row.jwks)


def replace_keys(context: Context, agency: str, jwks: object) -> list[dict[str, str]]:
    """Put these keys in the place of all that an agency has; return them as `show_keys` does. Raises 400, 404 or 409."""
    given = usable_keys(jwks)
    return _change(context, agency, lambda _kept: list(given["keys"]))


def add_keys(context: Context, agency: str, jwks: object) -> list[dict[str, str]]:
    """Add keys beside those that an agency has; return all as `show_keys` does. Raises 400, 404 or 409.

    A key that the agency has already is not added again.
    """
    given = usable_keys(jwks)

    def added(kept: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        known = _thumbprints(kept)
        return [*kept, *(key for key in given["keys"] if not _thumbprints([key]) <= known)]

    return _change(context, agency, added)


def remove_key(context: Context, agency: str, named: str) -> list[dict[str, str]]:
    """Remove the key with this thumbprint or kid; return the keys that stay. Raises 404, or 409 for the last key."""

    def without(kept: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        stay = [key for key in kept if named not in {key.get("kid"), *_thumbprints([key])}]
        if len(stay) == len(kept):
            raise Problem(404, "unknown-key", "The agency has no such key. `fireweed agency keys show` lists them.")
        if not stay:
            fault = Fault("key", "It is the only key.", "`replace`, or `add` first; `fireweed agency suspend` stops it")
            raise Problem(409, "last-key", "Without a key the agency could never sign in again.", [fault])
        return stay

    return _change(context, agency, without)


def fetch_keys(client: OutgoingClient, url: str) -> object:
    """Return the JSON document at an https URL, which is called as a stranger's: by name only, without redirects.

    Raises a 400 problem that says what came instead.
    """
    if not client.accepts(url):
        raise _wrong_url("It cannot be called.", "an https:// URL with a DNS name, without a user or fragment")
    try:
        answer = client.get(url, {"accept": ", ".join(sorted(JSON_TYPES))}, MOST_BYTES)
    except Unreachable as error:
        detail = "It leads to no public address, does not answer in time, or answers with too much."
        raise _wrong_url(detail, f"at most {MOST_BYTES} bytes, within {client.seconds:g} seconds") from error
    if answer.status != 200:
        raise _wrong_url(f"It answers with the status {answer.status}.", "200; redirects are not followed")
    kind = read_media_type(answer.media_type)
    if kind is None or kind.name not in JSON_TYPES:
        raise _wrong_url("It does not answer with JSON.", " or ".join(sorted(JSON_TYPES)))
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError) as error:
        raise _wrong_url("The answer cannot be read as JSON.", _A_SET) from error


def usable_keys(jwks: object) -> dict[str, Any]:
    """Return the public keys of a key set, at most two; raise a 400 problem that says what would be taken."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or not keys:
        raise invalid(Fault("jwks", "Not a key set.", f"a JWK set: {_A_SET}"))
    if len(keys) > MOST_KEYS:
        raise invalid(Fault("jwks", "Too many keys.", f"at most {MOST_KEYS}: the present key and the next one"))
    try:
        _check_kids(keys)
        for key in keys:
            public_key(key, "jwks")
            if key.get("use", "sig") != "sig":
                raise invalid(Fault("jwks use", "Not a key for signatures.", "`sig`, or no `use` at all"))
        return dict(key_set(keys).as_dict())
    except Untrusted as reason:
        raise invalid(reason.fault) from reason
    except (JoseError, ValueError, AttributeError) as error:
        raise invalid(Fault("jwks", "Not a key set.", f"a JWK set: {_A_SET}")) from error


def refuse_keys_of_others(agencies: Sequence[store.AnyRow], jwks: Mapping[str, Any]) -> None:
    """Raise a 409 problem if one of these agencies has one of the keys."""
    mine = _thumbprints(jwks["keys"])
    if holder := next((other for other in agencies if _thumbprints(other.jwks["keys"]) & mine), None):
        fault = Fault("jwks", f"{holder.id} has one of these keys.", "keys that no other agency has")
        raise Problem(409, "agency-key-known", "Another agency already has this key.", [fault])


def unknown_agency() -> Problem:
    """Return the 404 problem for a client id that no agency has."""
    return Problem(404, "unknown-agency", "No agency has this client id. `fireweed agency list` shows them all.")


def _change(
    context: Context, agency: str, changed: Callable[[Sequence[Mapping[str, Any]]], list[Mapping[str, Any]]]
) -> list[dict[str, str]]:
    with context.database.transaction() as connection:
        store.hold_agencies(connection)
        agencies = store.list_agencies(connection)
        row = next((row for row in agencies if row.id == agency), None)
        if row is None:
            raise unknown_agency()
        keys = changed(row.jwks["keys"])
        if len(keys) > MOST_KEYS:
            fault = Fault(
                "jwks", f"The agency would have {len(keys)} keys.", f"at most {MOST_KEYS}; `remove` one first"
            )
            raise Problem(409, "too-many-keys", "An agency has two keys at most.", [fault])
        _check_kids(keys)
        jwks = {"keys": keys}
        refuse_keys_of_others([other for other in agencies if other.id != agency], jwks)
        store.change_keys(connection, agency, jwks)
    return _told(jwks)


def _check_kids(keys: Sequence[Mapping[str, Any]]) -> None:
    """Raise a 400 problem unless each of several keys has a kid of its own, by which a signature names its key."""
    kids = {kid for key in keys if isinstance(kid := key.get("kid"), str)}
    if len(keys) > 1 and len(kids) < len(keys):
        raise invalid(Fault("jwks kid", "Missing or given twice.", "a different kid for each key"))


def _thumbprints(keys: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the RFC 7638 thumbprint of each key."""
    return {key.thumbprint() for key in key_set(keys).keys}


def _told(jwks: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"thumbprint": key.thumbprint(), "kid": str(document.get("kid", "")), "kind": str(document["kty"])}
        for key, document in zip(key_set(jwks["keys"]).keys, jwks["keys"], strict=True)
    ]


def _wrong_url(detail: str, accepted: str) -> Problem:
    return invalid(Fault("--jwks-url", detail, accepted))
