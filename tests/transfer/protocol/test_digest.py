import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.protocol.digest import (
    ALGORITHMS,
    DEFAULT_ALGORITHM,
    Digest,
    InvalidDigest,
    UnsupportedAlgorithm,
    check_algorithm,
    digest_bytes,
    digest_of,
    new_hasher,
)

EMPTY = {
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "blake3": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
}
HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_digest_of_nothing_is_the_published_one(algorithm: str) -> None:
    assert digest_bytes(b"", algorithm) == Digest(algorithm, EMPTY[algorithm])


def test_sha256_is_the_default() -> None:
    assert digest_bytes(b"cargo") == Digest("sha256", hashlib.sha256(b"cargo").hexdigest())
    assert DEFAULT_ALGORITHM in ALGORITHMS


@given(st.lists(st.binary(max_size=40)), st.sampled_from(ALGORITHMS))
def test_content_has_one_digest_however_it_is_cut(chunks: list[bytes], algorithm: str) -> None:
    hasher = new_hasher(algorithm)
    for chunk in chunks:
        hasher.update(chunk)
    assert digest_of(hasher, algorithm) == digest_bytes(b"".join(chunks), algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_copy_of_a_hasher_goes_its_own_way(algorithm: str) -> None:
    hasher = new_hasher(algorithm)
    hasher.update(b"a")
    other = hasher.copy()
    other.update(b"b")
    assert digest_of(hasher, algorithm) == digest_bytes(b"a", algorithm)
    assert digest_of(other, algorithm) == digest_bytes(b"ab", algorithm)


@given(st.binary(max_size=40), st.sampled_from(ALGORITHMS))
def test_a_digest_is_read_as_it_is_written(content: bytes, algorithm: str) -> None:
    digest = digest_bytes(content, algorithm)
    assert Digest.parse(str(digest)) == digest == Digest.kept(str(digest))
    assert str(digest).startswith(f"{algorithm}:")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        HEX,
        "sha256:",
        f"sha256:{HEX[1:]}",
        f"sha256:{HEX}0",
        f"sha256:{HEX.upper()}",
        f"sha256:{HEX[1:]}g",
        f"sha256: {HEX[1:]}",
        f"sha256:{HEX}\n",
        f"sha256:{HEX[1:]}\u0661",
        f"blake3:sha256:{HEX}",
    ],
)
def test_what_is_not_a_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidDigest) as refusal:
        Digest.parse(text)
    assert repr(text) in str(refusal.value)
    assert refusal.value.text == text


@pytest.mark.parametrize("algorithm", ["", "md5", "SHA256", "sha256 ", " sha256", "sha-256", "sha512", "\ud800"])
def test_an_algorithm_that_is_not_known_is_refused_by_name(algorithm: str) -> None:
    for attempt in (lambda: Digest.parse(f"{algorithm}:{HEX}"), lambda: check_algorithm(algorithm)):
        with pytest.raises(UnsupportedAlgorithm) as refusal:
            attempt()
        assert str(refusal.value) == f"digest algorithm {algorithm!r} is not one of sha256, blake3"
        assert refusal.value.algorithm == algorithm
    with pytest.raises(UnsupportedAlgorithm):
        new_hasher(algorithm)


def test_errors_do_not_repeat_huge_texts() -> None:
    for text in ("x" * 100_000, "x" * 100_000 + ":", "sha256:" + "x" * 100_000):
        with pytest.raises(ValueError, match="digest") as refusal:
            Digest.parse(text)
        assert len(str(refusal.value)) < 250


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_is_a_digest_or_refused(text: str) -> None:
    outcome: Digest | ValueError
    try:
        outcome = Digest.parse(text)
    except (InvalidDigest, UnsupportedAlgorithm) as refusal:
        outcome = refusal
    assert str(outcome) == text if isinstance(outcome, Digest) else str(outcome).isprintable()
