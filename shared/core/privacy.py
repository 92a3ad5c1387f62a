"""Personal fields leave no service: they are dropped, or replaced by a keyed hash, by whoever sees the record first.

A keyed hash (BLAKE2b with a secret key) still joins records of one person, but nobody without the key can try names
against it.
"""

from hashlib import blake2b
from typing import Any

import msgspec

from shared.core.pipeline import PrivacySpec, RecordSpec

HASH_BYTES = 16


class Redactor:
    """Applies a pipeline's `privacy` section.

    Args:
        privacy: which fields are dropped, which are hashed.
        record: the record's schema, to know the id and the key.
        secret: the key of the hash, 16 to 64 bytes; needed only where `hash` names fields.

    Raises:
        ValueError: fields are to be hashed, and the secret is too short or too long.
    """

    def __init__(self, privacy: PrivacySpec, record: RecordSpec, secret: bytes = b"") -> None:
        if privacy.hash and not 16 <= len(secret) <= 64:  # noqa: PLR2004 - BLAKE2b takes 64; under 16 can be guessed
            raise ValueError("the key of the hash must have 16 to 64 bytes")
        self._drop, self._hash, self._secret = frozenset(privacy.drop), frozenset(privacy.hash), secret
        self.active = bool(privacy.drop or privacy.hash)
        self.hides_id = record.id in self._hash
        self.hides_key = record.key in self._hash

    def pseudonym(self, value: object) -> str:
        """The keyed hash of a value, 32 hexadecimal digits."""
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=HASH_BYTES, key=self._secret).hexdigest()

    def key(self, key: bytes) -> bytes:
        """A Kafka key fit to leave: the pseudonym where the entity is personal."""
        return self.pseudonym(key.decode("utf-8", "replace")).encode() if self.hides_key else key

    def body(self, value: bytes) -> bytes | None:
        """A record fit to leave: without its personal fields, or None where it cannot be taken apart."""
        try:
            tree = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return msgspec.json.encode(self._clean(tree)) if isinstance(tree, dict) else None

    def _clean(self, tree: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self.pseudonym(value) if name in self._hash and value is not None else value
            for name, value in tree.items()
            if name not in self._drop
        }
