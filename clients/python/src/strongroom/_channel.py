"""The gRPC channels of the clients."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import grpc

from strongroom._settings import Settings
from strongroom._version import __version__

__all__ = ["aio_channel", "channel"]

# A page of 1,000 secrets, each with as much metadata as a secret can have, is about 43 MB.
_LARGEST_REPLY = 64 * 1024 * 1024


def channel(settings: Settings) -> grpc.Channel:
    """Returns a channel for the sync client. It connects at the first call."""
    target, options = _target(settings), _options(settings)
    if settings.endpoint.tls:
        return grpc.secure_channel(target, _credentials(settings), options)
    return grpc.insecure_channel(target, options)


def aio_channel(settings: Settings) -> grpc.aio.Channel:
    """Returns a channel for the async client, bound to the running event loop. It connects at the first call."""
    target, options = _target(settings), _options(settings)
    if settings.endpoint.tls:
        return grpc.aio.secure_channel(target, _credentials(settings), options)
    return grpc.aio.insecure_channel(target, options)


def _target(settings: Settings) -> str:
    # The explicit scheme keeps gRPC from reading a host name as another scheme, such as `unix:…`.
    return f"dns:///{settings.endpoint}"


def _options(settings: Settings) -> list[tuple[str, Any]]:
    return [
        ("grpc.primary_user_agent", f"strongroom-python/{__version__}"),
        ("grpc.max_receive_message_length", _LARGEST_REPLY),
        # The retry policy decides when to try again. A channel that waits longer before it reconnects would defeat it.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 5000),
        # Notices a server that is gone without a word.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A proxy from the environment is for other machines, not for a server on this one.
        ("grpc.enable_http_proxy", 0 if settings.endpoint.loopback else 1),
    ]


def _credentials(settings: Settings) -> grpc.ChannelCredentials:
    key, certificate = settings.client_certificate or (None, None)
    return grpc.ssl_channel_credentials(settings.ca_certificates or _system_roots(), key, certificate)


def _system_roots() -> bytes | None:
    """Returns the system's trusted certificates as PEM. None: the system has none, and gRPC uses its own list.

    gRPC does not read the certificates of the system by itself.
    """
    trusted = ssl.create_default_context().get_ca_certs(binary_form=True)
    if trusted:
        return "".join(ssl.DER_cert_to_PEM_cert(certificate) for certificate in trusted).encode()
    # OpenSSL loads a folder of certificates only when it needs one, so the list above can be empty.
    folder = ssl.get_default_verify_paths().capath
    if folder is None or not os.path.isdir(folder):
        return None
    files = sorted({path.resolve() for path in Path(folder).iterdir() if path.is_file()})
    return b"\n".join(pem for pem in map(_pem, files) if pem) or None


def _pem(path: Path) -> bytes:
    """Returns the content of the file. Empty: the file cannot be read or holds no certificate."""
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    return content if b"BEGIN CERTIFICATE" in content else b""
