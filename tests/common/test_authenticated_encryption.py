"""Sealed content opens only with its key and with what it is bound to."""

import pytest
from cryptography.exceptions import InvalidTag

from services.common.authenticated_encryption import NONCE_BYTES, seal, unseal

KEY, OTHER_KEY = bytes(32), bytes([1] * 32)


def test_unseal_returns_the_sealed_content() -> None:
    assert unseal(KEY, seal(KEY, b"note", b"hers"), b"hers") == b"note"


def test_seal_uses_a_new_nonce_each_time() -> None:
    assert seal(KEY, b"note", b"hers")[:NONCE_BYTES] != seal(KEY, b"note", b"hers")[:NONCE_BYTES]


@pytest.mark.parametrize(("key", "bound_to"), [(OTHER_KEY, b"hers"), (KEY, b"his")])
def test_unseal_with_other_key_or_binding_is_refused(key: bytes, bound_to: bytes) -> None:
    with pytest.raises(InvalidTag):
        unseal(key, seal(KEY, b"note", b"hers"), bound_to)


@pytest.mark.parametrize("length", [0, 5, NONCE_BYTES])
def test_unseal_of_cut_content_is_refused(length: int) -> None:
    with pytest.raises(InvalidTag):
        unseal(KEY, seal(KEY, b"note", b"hers")[:length], b"hers")
