"""What Kafka's console consumer prints, taken apart."""

from pathlib import Path
from zlib import crc32

from tailrace.proof.witness import parse


def test_messages_are_told_from_the_tool_s_own_lines(tmp_path: Path) -> None:
    """Place and checksum of each message; values may hold tabs; warnings and totals are no messages."""
    log = tmp_path / "witness.log"
    log.write_bytes(
        b"14:00:00.000 [main] WARN something\tPartition:9\n"
        b'Partition:0\tOffset:12\t{"a":1}\n'
        b"Partition:3\tOffset:7\tone\ttwo\n"
        b"Partition:1\tOffset:0\t\n"
        b"Processed a total of 3 messages\n"
    )
    assert parse(log) == {(0, 12): crc32(b'{"a":1}'), (3, 7): crc32(b"one\ttwo"), (1, 0): crc32(b"")}
