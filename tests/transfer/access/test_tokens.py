"""Secrets as they are written, found again, and not shown."""

import hmac

import pytest

from transfer.access.tokens import Secret, holds_secret


def test_every_secret_is_another_one_of_256_bits() -> None:
    secrets = [Secret.new() for _ in range(100)]
    assert len({secret.text for secret in secrets}) == 100
    assert all(len(secret.in_link.partition("_")[2]) == 64 for secret in secrets)


def test_what_is_written_is_read_again() -> None:
    secret = Secret.new()
    assert Secret.parse(secret.text) == Secret.parse(secret.in_link) == secret


@pytest.mark.parametrize("change", ["", "towline", "towline_", " {0}", "{0}\n", "{0}0", "x{0}", "{1}", "towline_{0}"])
def test_anything_else_is_no_secret(change: str) -> None:
    secret = Secret.new()
    assert Secret.parse(change.format(secret.text, secret.text.upper())) is None


def test_only_the_secret_itself_hashes_to_what_is_kept() -> None:
    secret = Secret.new()
    assert secret.hashes_to(secret.hash)
    assert not Secret.new().hashes_to(secret.hash)
    assert secret.hash.hex() not in secret.text


def test_it_is_compared_in_the_same_time_wherever_it_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = list[bytes]()
    real = hmac.compare_digest

    def noting(one: bytes, other: bytes) -> bool:
        compared.extend((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noting)
    secret, kept = Secret.new(), Secret.new().hash
    assert not secret.hashes_to(kept)
    assert set(compared) == {secret.hash, kept}


def test_it_is_not_shown_by_accident() -> None:
    secret = Secret.new()
    digits = secret.in_link.partition("_")[2]
    assert digits not in repr(secret)
    assert digits not in str(secret)
    assert digits not in f"{[secret]}"


def test_scanners_find_it_in_a_text() -> None:
    assert holds_secret(f"export TOWLINE_TOKEN={Secret.new().text} # mine")
    assert not holds_secret("towline_0123")
