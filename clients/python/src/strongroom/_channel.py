"""The gRPC channels of the clients."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import Any

import grpc

from strongroom._endpoint import Endpoint
from strongroom._settings import Settings
from strongroom._version import __version__

__all__ = ["aio_channels", "channels"]

# Several servers are asked for their health, and one that says that it is not serving gets no calls. `round_robin` is
# the policy with which gRPC does that, also with one address for each channel.
_SEVERAL_SERVERS = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": "strongroom.v1.SecretService"},
    }
)


def channels(settings: Settings) -> list[tuple[Endpoint, grpc.Channel]]:
    """Returns a channel to each server for the sync client. They connect at their first call."""
    credentials = _credentials(settings) if settings.endpoints[0].tls else None

    def one(endpoint: Endpoint) -> grpc.Channel:
        target, options = _target(endpoint), _options(settings, endpoint)
        if credentials is None:
            return grpc.insecure_channel(target, options)
        return grpc.secure_channel(target, credentials, options)

    return [(endpoint, one(endpoint)) for endpoint in settings.endpoints]


def aio_channels(settings: Settings) -> list[tuple[Endpoint, grpc.aio.Channel]]:
    """Returns a channel to each server for the async client, bound to the running event loop."""
    credentials = _credentials(settings) if settings.endpoints[0].tls else None

    def one(endpoint: Endpoint) -> grpc.aio.Channel:
        target, options = _target(endpoint), _options(settings, endpoint)
        if credentials is None:
            return grpc.aio.insecure_channel(target, options)
        return grpc.aio.secure_channel(target, credentials, options)

    return [(endpoint, one(endpoint)) for endpoint in settings.endpoints]


def _target(endpoint: Endpoint) -> str:
    # The explicit scheme keeps gRPC from reading a host name as another scheme, such as `unix:…`.
    return f"dns:///{endpoint}"


def _options(settings: Settings, endpoint: Endpoint) -> list[tuple[str, Any]]:
    options: list[tuple[str, Any]] = [
        ("grpc.primary_user_agent", f"strongroom-python/{__version__}"),
        # The retry policy decides when to try again. A channel that waits longer before it reconnects would defeat it.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # How long one attempt to connect takes at most, whatever its name says.
        ("grpc.min_reconnect_backoff_ms", 5000),
        # Notices a server that is gone without a word.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A proxy from the environment is for other machines, not for a server on this one.
        ("grpc.enable_http_proxy", 0 if endpoint.loopback else 1),
    ]
    if len(settings.endpoints) > 1:
        options.append(("grpc.service_config", _SEVERAL_SERVERS))
    return options


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
