"""Messages between a server and its worker: dictionaries, pickled, each after its length in eight bytes.

Both ends are processes of one installation on one socket pair that nobody else holds.
"""

import asyncio
import pickle
import socket
import struct
from typing import Any

Message = dict[str, Any]

_LENGTH = struct.Struct(">Q")


def encode(message: Message) -> bytes:
    """A message as bytes."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


async def receive_async(reader: asyncio.StreamReader) -> Message:
    """The next message; raises `asyncio.IncompleteReadError` at the end of the stream."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return pickle.loads(await reader.readexactly(length))


def receive(connection: socket.socket) -> Message | None:
    """The next message, or None at the end of the stream."""
    head = _exactly(connection, _LENGTH.size)
    body = None if head is None else _exactly(connection, _LENGTH.unpack(head)[0])
    return None if body is None else pickle.loads(body)


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = connection.recv(min(size - len(parts), 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)
