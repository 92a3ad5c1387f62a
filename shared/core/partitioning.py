"""Where a key belongs: Java's murmur2, for a service that must know the partition before the client decides it."""

from functools import lru_cache

_MASK, _FACTOR, _SEED = 0xFFFFFFFF, 0x5BD1E995, 0x9747B28C


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition that producers with `murmur2_random` give a key, as Java's do.

    Source: org.apache.kafka.common.utils.Utils.murmur2 and BuiltInPartitioner.partitionForKey (Apache Kafka).
    """
    return murmur2(key) % partitions


def murmur2(key: bytes) -> int:
    """Java's hash of a key, positive: its partition is this modulo the number of partitions."""
    state = _SEED ^ len(key)
    whole = len(key) & ~3
    for i in range(0, whole, 4):
        word = int.from_bytes(key[i : i + 4], "little") * _FACTOR & _MASK
        word = (word ^ word >> 24) * _FACTOR & _MASK
        state = (state * _FACTOR & _MASK) ^ word
    if whole < len(key):
        state = (state ^ int.from_bytes(key[whole:], "little")) * _FACTOR & _MASK
    state = (state ^ state >> 13) * _FACTOR & _MASK
    return (state ^ state >> 15) & 0x7FFFFFFF
