"""What is small on the wire stays small in memory: every length is checked before something is made of it."""

from __future__ import annotations

import tracemalloc
from typing import Final

import pytest

from pipeline import wire
from pipeline.errors import DecodeError

BINARY_TOPIC: Final = "tandem/helmet/gate/frames"
TEXT_TOPIC: Final = "tandem/helmet/gate/state"


def nested(leaf: bytes, count: int) -> bytes:
    """Lists of 4096 leaves each, in a list: all lengths are within their limits."""
    inner = b"\xdc\x10\x00" + leaf * 4096
    return b"\xdc" + count.to_bytes(2) + inner * count


BOMBS: Final = {
    "msgpack lists": (BINARY_TOPIC, nested(b"\x90", 1000), "more than 256 lists and maps"),
    "msgpack maps": (BINARY_TOPIC, nested(b"\x80", 1000), "more than 256 lists and maps"),
    "msgpack texts": (BINARY_TOPIC, nested(b"\xa2ab", 300), "more than 256 lists and maps"),
    "msgpack list header": (BINARY_TOPIC, b"\xdd\xff\xff\xff\xff", "exceeds max_array_len"),
    "msgpack bytes header": (BINARY_TOPIC, b"\xc6\xff\xff\xff\xff", "incomplete input"),
    "msgpack text header": (BINARY_TOPIC, b"\xdb\xff\xff\xff\xff", "incomplete input"),
    "msgpack ext header": (BINARY_TOPIC, b"\xc9\xff\xff\xff\xff\x01", "exceeds max_ext_len"),
    "msgpack depth": (BINARY_TOPIC, b"\x91" * 4_000_000, "StackError"),
    "large msgpack": (BINARY_TOPIC, bytes(wire.MAX_PAYLOAD_BYTES + 1), "is larger than the 67108864 taken"),
    "large json": (TEXT_TOPIC, b"[" + b"[]," * 1_400_000 + b"[]]", "is larger than the 4194304 taken"),
    "json lists": (TEXT_TOPIC, b"[" + b"[]," * 1_390_000 + b"[]]", "is list, not a map of fields"),
    "json depth": (TEXT_TOPIC, b"[" * 4_000_000, "recursion limit"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_little_data_cannot_become_much_memory(name: str) -> None:
    topic, payload, said = BOMBS[name]
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError, match=said):
            wire.decode(topic, payload, 0.0)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 128 << 20
