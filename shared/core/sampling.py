"""Who is in a sample: decided by a salted hash of the record's id, so every process and every replay agrees."""

from hashlib import blake2b

OBSERVED = b"tailrace-observed"  # another salt than the canary's, or the canary would observe only itself
_SPAN = 2**64


def sampled(identity: str, rate: float, salt: bytes) -> bool:
    """Whether this id is among the share `rate` (0 to 1) of all ids.

    Args:
        identity: the record's id.
        rate: the share that is taken.
        salt: at most 16 bytes count; another salt gives an independent sample.
    """
    if rate >= 1.0:
        return True
    if rate <= 0.0:
        return False
    digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=8, salt=salt[:16]).digest()
    return int.from_bytes(digest) < rate * _SPAN
