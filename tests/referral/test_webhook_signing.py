"""Signatures of webhooks against the published vectors, and secrets at rest."""

from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.referral.webhook_signing import SCHEMES, Secret, SecretStore, signed_headers

# From the Standard Webhooks repository, libraries/go: webhook_symmetric_test.go and webhook_asymmetric_test.go.
NAME, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), '{"test": 2432232314}'
VECTORS = {
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=": "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6"
    "KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==",
}


@pytest.mark.parametrize("text", VECTORS)
def test_signature_equals_the_published_vector(text: str) -> None:
    headers = signed_headers([Secret.parse(text)], NAME, AT, BODY)
    assert headers == {"webhook-id": NAME, "webhook-timestamp": "1614265330", "webhook-signature": VECTORS[text]}


def test_two_secrets_give_two_signatures_in_order() -> None:
    headers = signed_headers([Secret.parse(text) for text in VECTORS], NAME, AT, BODY)
    assert headers["webhook-signature"] == " ".join(VECTORS.values())


def test_public_key_verifies_and_is_all_that_is_told() -> None:
    kept = Secret.new("ed25519")
    prefix, _, told = kept.told().partition("_")
    assert prefix == "whpk"
    signature = b64decode(kept.sign(b"any").removeprefix("v1a,"))
    Ed25519PublicKey.from_public_bytes(b64decode(told)).verify(signature, b"any")
    assert b64decode(told) != kept.key


def test_told_secret_can_be_parsed_again() -> None:
    kept = Secret.new("hmac")
    assert Secret.parse(kept.told()) == kept
    assert len(kept.key) >= 24


@pytest.mark.parametrize("text", ["", "whsec", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%%", "MfKQ9r8G"])
def test_text_that_is_no_secret_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Secret.parse(text)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_secret_rests_encrypted_for_one_agency(tmp_path: Path, scheme: str) -> None:
    store, kept = SecretStore(tmp_path / "keys" / "webhook.key"), Secret.new(scheme)
    sealed = store.seal("agency-one", kept)
    assert kept.key not in sealed
    assert store.unseal("agency-one", scheme, sealed) == kept
    for agency, other in (("agency-two", scheme), ("agency-one", "other")):
        with pytest.raises(InvalidTag):
            store.unseal(agency, other, sealed)
    with pytest.raises(InvalidTag):
        SecretStore(tmp_path / "other.key").unseal("agency-one", scheme, sealed)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_secret_is_not_in_its_repr(scheme: str) -> None:
    assert repr(Secret.new(scheme)) == f"Secret({scheme})"
