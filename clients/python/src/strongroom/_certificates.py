"""The client certificate: its two files, and whether they have changed."""

from __future__ import annotations

import os
import ssl
import threading

from strongroom import _arguments as arguments
from strongroom._files import Path, Signature, read_file, signature
from strongroom.exceptions import ConfigurationError

__all__ = ["ClientCertificate", "Renewal"]

Pair = tuple[bytes, bytes]


class ClientCertificate:
    """The files of a client certificate and its private key. The settings of a client have it."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Reads nothing yet."""
        self._certificate = certificate
        self._key = key

    def read(self) -> Pair:
        """Returns the private key and the certificate, as PEM, where they can be used."""
        pair = read_file("client_key", self._key), read_file("client_cert", self._certificate)
        if not self._fits():
            raise arguments.misconfigured(
                "client_cert", "and client_key cannot be used: check that both files are whole PEM and belong together."
            )
        return pair

    def signature(self) -> tuple[Signature | None, Signature | None]:
        """Returns what differs once one of the files was replaced or written."""
        return signature(self._certificate), signature(self._key)

    def _fits(self) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            # Without a function for the passphrase, OpenSSL would ask for it on the terminal.
            context.load_cert_chain(os.fspath(self._certificate), os.fspath(self._key), lambda: "")
        except (OSError, ValueError):
            return False
        return True


class Renewal:
    """Notices that the files of a client certificate have changed. Many threads can use it at once."""

    def __init__(self, files: ClientCertificate) -> None:
        """The present files are those that the connections use."""
        self._files = files
        self._seen = files.signature()
        self._lock = threading.Lock()

    def changed(self) -> Pair | None:
        """Returns the new pair, once. None: the files are as they were, or do not fit together yet."""
        found = self._files.signature()
        if found == self._seen:
            return None
        with self._lock:
            if found == self._seen:
                return None
            self._seen = found
            try:
                return self._files.read()
            except ConfigurationError:
                # The two files are not replaced in one step. The former pair is used until they fit together.
                return None
