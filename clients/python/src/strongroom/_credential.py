"""The credential that a client sends: an API key, a token, or the content of a file that has one of them."""

from __future__ import annotations

import re
import threading

from strongroom import _arguments as arguments
from strongroom._files import Path, Signature, read_file, signature
from strongroom.exceptions import ValidationError

__all__ = ["Credential", "checked", "read_credential"]


class Credential:
    """The text to send. With a file, it is read again when the file changes, and when the server refuses it.

    Its `repr` does not show the text. Many threads can use it at once.
    """

    def __init__(self, text: str, path: Path | None) -> None:
        """`text` is the content of the file, when there is one."""
        self._text = text
        self._path = path
        self._signature: Signature | None = None
        self._lock = threading.Lock()

    def current(self) -> str:
        """Returns the text to send. Empty: none, since the client certificate is the credential."""
        if self._path is None:
            return self._text
        with self._lock:
            # The look at the file comes first: a change between the two is noticed the next time.
            found = signature(self._path)
            if found is not None and found != self._signature and self._read(self._path):
                self._signature = found
            return self._text

    def replaced(self, refused: str) -> bool:
        """Whether there is another text than the one that the server refused. It reads the file again."""
        if self._path is None:
            return False
        with self._lock:
            if self._text == refused:
                self._read(self._path)
            return self._text != refused

    def _read(self, path: Path) -> bool:
        """Reads the file. False: it cannot be read now, or holds no credential, and the last text stays.

        The program that replaces the file may be in the middle of that.
        """
        try:
            self._text = read_credential("credential", path)
        except ValidationError:
            return False
        return True


def read_credential(argument: str, path: Path) -> str:
    """Returns the credential that a file holds. Raises `ConfigurationError` where there is none. Errors do not show
    it.
    """  # Latin-1 decodes any bytes. The check refuses characters that are not ASCII.
    text = read_file(argument, path).decode("latin-1").strip()
    if not text:
        raise arguments.misconfigured(argument, "names an empty file: it must hold an API key or a token.")
    return checked(argument, text)


def checked(argument: str, text: str) -> str:
    """Returns the API key or token, when it can be sent. Errors do not show it."""
    if not re.fullmatch(r"[!-~]+", text):
        raise arguments.misconfigured(
            argument, "must be printable ASCII without spaces; check that the key is complete."
        )
    return text
