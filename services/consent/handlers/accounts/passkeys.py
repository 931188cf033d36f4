"""Passkeys: a way to sign in beside her passphrase, which she can list and remove; never the only one (WebAuthn Level 3)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from services.common.encoding import from_base64url
from services.common.errors import Fault, Problem, invalid, not_found
from services.consent.context import Context
from services.consent.credentials import new_session_token
from services.consent.handlers.accounts.sessions import hold_subject, not_let_in
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.store import passkeys, subjects

CHALLENGE_SECONDS = 300
NAME = "My page"
"""The name that her phone shows in its list of keys."""
VERIFIED = UserVerificationRequirement.REQUIRED
Found = TypeVar("Found")


def options_to_add(context: Context, origin: str, token: str, subject: UUID) -> str:
    """Return the options to make a key, as JSON; the challenge is good for her cookie's `token` alone."""
    known = [PublicKeyCredentialDescriptor(id=row.id) for row in keys_of(context, subject)]
    chosen = AuthenticatorSelectionCriteria(resident_key=ResidentKeyRequirement.REQUIRED, user_verification=VERIFIED)
    options = generate_registration_options(
        rp_id=_host(origin),
        rp_name=NAME,
        user_name=NAME,
        challenge=_challenges(context, "add", token)[0],
        exclude_credentials=known,
        authenticator_selection=chosen,
    )
    return options_to_json(options)


def add(context: Context, origin: str, token: str, subject: UUID, credential: str) -> None:
    """Keep the key that her browser made, once, however often it is sent; raise 400 if it is not a new key of hers."""
    check = partial(_registered, credential, origin)
    made = _first_that_holds(check, _challenges(context, "add", token))
    if made is None:
        raise _no_key()
    now = context.clock.now()
    row = {"id": made.credential_id, "subject_id": subject, "public_key": made.credential_public_key}
    with context.database.transaction() as connection:
        hold_subject(connection, subject)
        if passkeys.add_key(connection, {**row, "sign_count": made.sign_count, "added_at": now}):
            ledger.append(connection, [Entry("passkey.added", subject)], now)
        elif made.credential_id not in {known.id for known in passkeys.keys_of(connection, subject)}:
            raise _no_key()


def options_to_come_in(context: Context, origin: str, token: str) -> str:
    """Return the options with which a browser presents a key, as JSON; they do not tell who has one."""
    challenge = _challenges(context, "come-in", token)[0]
    options = generate_authentication_options(rp_id=_host(origin), challenge=challenge, user_verification=VERIFIED)
    return options_to_json(options)


def come_in(context: Context, origin: str, token: str, name: str, credential: str) -> str:
    """Open a session with a key, whose id the browser sends as `name`; return the session's token. Raises 401."""
    try:
        key_id = from_base64url(name)
    except ValueError as error:
        raise not_let_in() from error
    with context.database.reading() as connection:
        row = passkeys.get_key(connection, key_id)
    used = (
        _first_that_holds(partial(_used, credential, origin, row), _challenges(context, "come-in", token))
        if row
        else None
    )
    if row is None or used is None or used.credential_id != row.id:
        raise not_let_in()
    opened, now = new_session_token(), context.clock.now()
    with context.database.transaction() as connection:
        hold_subject(connection, row.subject_id)
        if not passkeys.use_key(connection, row.id, used.new_sign_count, now):
            raise not_let_in()
        subjects.add_session(connection, context.secrets.session_digest(opened), row.subject_id, now, known=True)
    return opened


def keys_of(context: Context, subject: UUID) -> Sequence[Any]:
    """Return her keys, oldest first."""
    with context.database.reading() as connection:
        return passkeys.keys_of(connection, subject)


def remove(context: Context, subject: UUID, key_id: bytes) -> None:
    """Remove a key, or raise 404; her passphrase goes on working."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        if not passkeys.remove_key(connection, subject, key_id):
            raise not_found()
        ledger.append(connection, [Entry("passkey.removed", subject)], now)


def _no_key() -> Problem:
    return invalid(Fault("/credential", "Not a key that was just made here."))


def _registered(credential: str, origin: str, challenge: bytes) -> Any:
    return verify_registration_response(
        credential=credential,
        expected_challenge=challenge,
        expected_rp_id=_host(origin),
        expected_origin=origin,
        require_user_verification=True,
    )


def _used(credential: str, origin: str, row: Any, challenge: bytes) -> Any:
    return verify_authentication_response(
        credential=credential,
        expected_challenge=challenge,
        expected_rp_id=_host(origin),
        expected_origin=origin,
        credential_public_key=row.public_key,
        credential_current_sign_count=row.sign_count,
        require_user_verification=True,
    )


def _first_that_holds(check: Callable[[bytes], Found], challenges: Sequence[bytes]) -> Found | None:
    for challenge in challenges:
        try:
            return check(challenge)
        except (WebAuthnException, ValueError, LookupError, TypeError, RecursionError):
            continue  # malformed, or an answer to the other challenge
    return None


def _challenges(context: Context, kind: str, token: str) -> list[bytes]:
    """Return the challenges of this and of the previous time step, for one cookie; nothing has to be stored for them."""
    step = int(context.clock.now().timestamp()) // CHALLENGE_SECONDS
    return [context.secrets.tag(f"passkey/{kind}", f"{token}\x00{moment}") for moment in (step, step - 1)]


def _host(origin: str) -> str:
    return urlsplit(origin).hostname or ""
