"""How the server generates a value. Pass the result of one of these functions as `generate=` instead of a `value`.

The random bits come from the operating system of the server. The caller does not need to see the value at all.
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
    """How the server generates a value. The functions of this module make it."""

    message: secret_pb2.Generator
    """The protobuf message to send."""


def password(length: int | None = None, alphabet: str = "") -> Generator:
    """A string of random characters. Each character has the same probability, independent of all others.

    Args:
        length: The number of characters, 8 to 4,096. None: 32.
        alphabet: The characters to choose from: 2 or more different printable ASCII characters, no space. Empty: the 62
            ASCII letters and digits.

    Returns:
        The argument for `generate=`. The value is a str.

    Raises:
        TypeError: An argument has the wrong type.
        ValidationError: An argument cannot be sent. The server checks the limits above.
    """
    spec = secret_pb2.PasswordGenerator(alphabet=arguments.text("alphabet", alphabet))
    if length is not None:
        spec.length = arguments.integer("length", length, 0, arguments.UINT32)
    return Generator(secret_pb2.Generator(password=spec))


def bytes_(length: int | None = None, encoding: str = "base64url") -> Generator:
    """Random bytes.

    Args:
        length: The number of random bytes, 16 to 4,096. None: 32.
        encoding: How the bytes become a value: `base64url` (without padding, RFC 4648) and `hex` give a str, `raw`
            gives bytes.

    Returns:
        The argument for `generate=`.

    Raises:
        TypeError: An argument has the wrong type.
        ValidationError: The encoding is not one of these, or an argument cannot be sent. The server checks the limits
            above.
    """
    if arguments.text("encoding", encoding) not in _ENCODINGS:
        raise arguments.invalid("encoding", "must be 'base64url', 'hex' or 'raw'.")
    spec = secret_pb2.BytesGenerator(encoding=_ENCODINGS[encoding])
    if length is not None:
        spec.length = arguments.integer("length", length, 0, arguments.UINT32)
    return Generator(secret_pb2.Generator(bytes=spec))


def uuid() -> Generator:
    """A random UUID (version 4, RFC 9562) as a str. It has 122 random bits.

    Returns:
        The argument for `generate=`.
    """
    return Generator(secret_pb2.Generator(uuid=secret_pb2.UuidGenerator()))
