"""How the server makes a value: pass one of these as `generate=` instead of a `value`.

The random bits come from the server's operating system, so the value need not pass through the caller at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from strongroom import _arguments as arguments
from strongroom.v1 import secret_pb2

__all__ = ["Generator", "bytes_", "password", "uuid"]

_ENCODINGS = {
    "base64url": secret_pb2.BYTES_ENCODING_BASE64URL,
    "hex": secret_pb2.BYTES_ENCODING_HEX,
    "raw": secret_pb2.BYTES_ENCODING_RAW,
}


@dataclass(frozen=True)
class Generator:
    """How to make a value. Made by the functions of this module."""

    message: secret_pb2.Generator


def password(length: int | None = None, alphabet: str = "") -> Generator:
    """A string of characters, each chosen evenly and independently.

    `length` is 8 to 4,096, 32 when left out. `alphabet` is 2 to 256 different printable ASCII characters, letters and
    digits when left out.
    """
    spec = secret_pb2.PasswordGenerator(alphabet=arguments.text("alphabet", alphabet))
    if length is not None:
        spec.length = arguments.integer("length", length, 0, arguments.UINT32)
    return Generator(secret_pb2.Generator(password=spec))


def bytes_(length: int | None = None, encoding: str = "base64url") -> Generator:
    """Random bytes: `length` of them, 16 to 4,096, 32 when left out.

    `encoding` is `base64url` (unpadded) or `hex`, which give a str, or `raw`, which gives bytes.
    """
    if arguments.text("encoding", encoding) not in _ENCODINGS:
        raise arguments.invalid("encoding", "must be 'base64url', 'hex' or 'raw'.")
    spec = secret_pb2.BytesGenerator(encoding=_ENCODINGS[encoding])
    if length is not None:
        spec.length = arguments.integer("length", length, 0, arguments.UINT32)
    return Generator(secret_pb2.Generator(bytes=spec))


def uuid() -> Generator:
    """A random UUID (version 4) as a str: 122 random bits."""
    return Generator(secret_pb2.Generator(uuid=secret_pb2.UuidGenerator()))
