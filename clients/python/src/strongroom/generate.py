"""How the server generates a value. Pass the result of one of these functions as `generate=` instead of a `value`.

The random bits come from the operating system of the server. The caller does not need to see the value at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from strongroom import _arguments as arguments
from strongroom.v1 import secret_pb2

__all__ = ["Generator", "bytes_", "key_pair", "passphrase", "password", "uuid"]

_ENCODINGS = {
    "base64url": secret_pb2.BYTES_ENCODING_BASE64URL,
    "hex": secret_pb2.BYTES_ENCODING_HEX,
    "raw": secret_pb2.BYTES_ENCODING_RAW,
}

_CLASSES = {
    "lower": secret_pb2.CHARACTER_CLASS_LOWER,
    "upper": secret_pb2.CHARACTER_CLASS_UPPER,
    "digit": secret_pb2.CHARACTER_CLASS_DIGIT,
    "symbol": secret_pb2.CHARACTER_CLASS_SYMBOL,
}

_ALGORITHMS = {
    "ed25519": secret_pb2.KEY_PAIR_ALGORITHM_ED25519,
    "ecdsa-p256": secret_pb2.KEY_PAIR_ALGORITHM_ECDSA_P256,
}


@dataclass(frozen=True)
class Generator:
    """How the server generates a value. The functions of this module make it."""

    message: secret_pb2.Generator
    """The protobuf message to send."""


def password(length: int | None = None, alphabet: str = "", required: Iterable[str] = ()) -> Generator:
    """A string of random characters. Each character has the same probability, independent of all others.

    Args:
        length: The number of characters, 8 to 4,096. None: 32.
        alphabet: The characters to choose from: 2 or more different printable ASCII characters, no space. Empty: the 62
            ASCII letters and digits.
        required: The classes of which the password has at least one character each: some of `lower`, `upper`, `digit`
            and `symbol`. With an empty alphabet, their characters are added to the letters and digits.

    Returns:
        The argument for `generate=`. The value is a str.

    Raises:
        TypeError: An argument has the wrong type.
        ValidationError: A class is not one of these, or an argument cannot be sent. The server checks the limits above.
    """
    if isinstance(required, str):
        raise TypeError("required must be a list of str, not str")
    classes = [arguments.text("required", name) for name in required]
    if not _CLASSES.keys() >= set(classes):
        raise arguments.invalid("required", "must be some of 'lower', 'upper', 'digit' and 'symbol'.")
    spec = secret_pb2.PasswordGenerator(
        alphabet=arguments.text("alphabet", alphabet), required=[_CLASSES[name] for name in classes]
    )
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


def passphrase(words: int | None = None, separator: str | None = None) -> Generator:
    """Random words of a public list, each with the same probability.

    Args:
        words: The number of words, 4 to 64. None: 8.
        separator: The text between two words, at most 8 printable ASCII characters or spaces. None: a hyphen.

    Returns:
        The argument for `generate=`. The value is a str.

    Raises:
        TypeError: An argument has the wrong type.
        ValidationError: An argument cannot be sent. The server checks the limits above.
    """
    spec = secret_pb2.PassphraseGenerator()
    if words is not None:
        spec.words = arguments.integer("words", words, 0, arguments.UINT32)
    if separator is not None:
        spec.separator = arguments.text("separator", separator)
    return Generator(secret_pb2.Generator(passphrase=spec))


def key_pair(algorithm: str) -> Generator:
    """A pair of a private and a public key.

    The value is the private key in PEM (PKCS #8), a str. The public key goes into the metadata `public_key`, in PEM
    (SubjectPublicKeyInfo).

    Args:
        algorithm: `ed25519` or `ecdsa-p256`.

    Returns:
        The argument for `generate=`.

    Raises:
        TypeError: The algorithm is not a str.
        ValidationError: The algorithm is not one of these.
    """
    if arguments.text("algorithm", algorithm) not in _ALGORITHMS:
        raise arguments.invalid("algorithm", "must be 'ed25519' or 'ecdsa-p256'.")
    spec = secret_pb2.KeyPairGenerator(algorithm=_ALGORITHMS[algorithm])
    return Generator(secret_pb2.Generator(key_pair=spec))
