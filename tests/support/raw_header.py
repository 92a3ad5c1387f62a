"""One record with a header whose name is no UTF-8, as producers in Go or C can send it: ours in Python cannot."""

import ctypes
from pathlib import Path

import confluent_kafka

_END, _TOPIC, _VALUE, _KEY, _FLAGS, _HEADER = 0, 1, 4, 5, 7, 9  # rd_kafka_vtype_t
_PRODUCER, _COPY = 0, 2


def send(servers: str, topic: str, key: bytes, value: bytes, header: bytes) -> None:
    """Send it by the client's own C library, and wait until it is acknowledged."""
    (path,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka*")
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new"):
        getattr(library, name).restype = ctypes.c_void_p
    conf, said = ctypes.c_void_p(library.rd_kafka_conf_new()), ctypes.create_string_buffer(512)
    assert library.rd_kafka_conf_set(conf, b"bootstrap.servers", servers.encode(), said, 512) == 0, said.value
    assert library.rd_kafka_conf_set(conf, b"partitioner", b"murmur2_random", said, 512) == 0, said.value
    producer = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, conf, said, 512))
    assert producer, said.value
    size = ctypes.c_size_t
    parts = (_TOPIC, topic.encode(), _FLAGS, _COPY, _KEY, key, size(len(key)), _VALUE, value, size(len(value)))
    failed = library.rd_kafka_producev(producer, *parts, _HEADER, header, b"x", ctypes.c_ssize_t(1), _END)
    assert failed == 0, failed
    assert library.rd_kafka_flush(producer, 20_000) == 0
    library.rd_kafka_destroy(producer)
