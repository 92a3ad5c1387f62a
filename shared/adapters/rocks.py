"""RocksDB as a store of keys and values on the disk of one process."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from shared.core.errors import Unavailable

BLOCK_CACHE = 96 << 20  # bytes a process
WRITE_BUFFERS = 192 << 20  # the same; what dies before a buffer is full is never written to the disk at all
WRITE_BUFFER = 32 << 20  # bytes a store, of which it may have two
YOUNG = 8  # files of a store that stand side by side before they are merged
BLOOM_BITS = 10  # most ids that are asked for are new: a filter says so without a look at the disk


class RocksMemory:
    """What all stores of one process may have in memory together, however many partitions it comes to own."""

    def __init__(self) -> None:
        self.cache = Cache(BLOCK_CACHE)
        self.buffers = WriteBufferManager(WRITE_BUFFERS, False)


class RocksStore:
    """Implements `Store`, without a log of its own, which would double the work: the log that counts is in Kafka.

    Writes reach the disk in order, each whole or not at all, when the buffer is full, at `flush`, and at `close`.

    Args:
        folder: made where it is not there; one store at a time may have it open.
        memory: shared with the other stores of the process; None: its own.
    """

    def __init__(self, folder: Path, memory: RocksMemory | None = None) -> None:
        self._folder, self._memory = folder, memory or RocksMemory()
        self._db = _open(folder, self._memory)
        self._options = WriteOptions()
        self._options.disable_wal = True  # type: ignore[method-assign,assignment] # a property, whatever the stubs say

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `Store.get_many`."""
        found: list[bytes | None] = self._db.get(list(keys)) if keys else []  # type: ignore[assignment] # a list for a list
        return found

    def write(self, puts: Mapping[bytes, bytes], deletes: Iterable[bytes] = ()) -> None:
        """See `Store.write`."""
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for key, value in puts.items():
            put(key, value)
        for key in deletes:
            delete(key)
        self._db.write(batch, self._options)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """See `Store.scan`."""
        for key, value in self._db.items(from_key=prefix):
            if not isinstance(key, bytes) or not key.startswith(prefix):
                return
            yield key, value

    def flush(self) -> None:
        """See `Store.flush`."""
        self._db.flush()

    def clear(self) -> None:
        """See `Store.clear`."""
        self.close()
        shutil.rmtree(self._folder)
        self._db = _open(self._folder, self._memory)

    def close(self) -> None:
        """See `Store.close`."""
        self._db.close()


def _open(folder: Path, memory: RocksMemory) -> Rdict:
    """Open it; what cannot be read is thrown away, since the log has everything.

    Raises:
        Unavailable: another process has it open.
    """
    try:
        return _opened(folder, memory)
    except Exception as error:
        if "lock" in str(error).lower():
            raise Unavailable(f"{folder}: {error}") from error
        shutil.rmtree(folder, ignore_errors=True)
        return _opened(folder, memory)


def _opened(folder: Path, memory: RocksMemory) -> Rdict:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    # Most of what is written is dead before it is merged twice: only what grows old is worth pressing.
    options.set_compression_per_level([DBCompressionType.none()] * 2 + [DBCompressionType.lz4()] * 5)
    options.set_level_zero_file_num_compaction_trigger(YOUNG)
    options.set_write_buffer_size(WRITE_BUFFER)
    options.set_write_buffer_manager(memory.buffers)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    options.set_max_open_files(256)
    tables = BlockBasedOptions()
    tables.set_block_cache(memory.cache)
    tables.set_bloom_filter(BLOOM_BITS, False)
    tables.set_cache_index_and_filter_blocks(True)
    options.set_block_based_table_factory(tables)
    return Rdict(str(folder), options)
