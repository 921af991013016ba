"""The settings of a client, from its arguments and the environment.

An argument takes precedence over its environment variable. An empty variable counts as absent.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from strongroom import _arguments as arguments
from strongroom._credential import checked, read_credential
from strongroom._files import Path, read_file
from strongroom.exceptions import AuthenticationError

__all__ = ["DEFAULT_SERVER", "DEFAULT_TIMEOUT", "Endpoint", "Path", "Settings"]

DEFAULT_SERVER = "127.0.0.1:50051"
DEFAULT_PORT = 50051
DEFAULT_TIMEOUT = 30.0

_SERVER = (
    "must be host:port, http://host:port (plaintext) or https://host:port (TLS), with a port from 1 to 65535 or none."
)


@dataclass(frozen=True)
class Endpoint:
    """The address of the server, and whether to use TLS."""

    host: str
    port: int
    tls: bool
    loopback: bool

    def __str__(self) -> str:
        """The address as `host:port`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """The checked settings of one client."""

    api_key: str = field(repr=False)
    """The API key or the token. Empty: the client certificate is the credential."""
    credential_file: Path | None
    """The file that has the API key or the token. None: it does not come from a file."""
    endpoint: Endpoint
    namespace: str
    ca_certificates: bytes | None = field(repr=False)
    """The trusted certificates as PEM. None: the certificates of the system."""
    client_certificate: tuple[bytes, bytes] | None = field(repr=False)
    """The client's private key and its certificate, as PEM. None: it has none."""
    timeout: float
    """Seconds for a call with all its retries."""

    @classmethod
    def resolve(
        cls,
        api_key: str | None,
        server: str | None,
        namespace: str | None,
        ca_cert: Path | None,
        timeout: float,
        environ: Mapping[str, str],
        *,
        insecure_plaintext: bool = False,
        api_key_file: Path | None = None,
        token_file: Path | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
    ) -> Settings:
        """Reads the settings from the arguments; the environment fills in the arguments that are None.

        Raises `AuthenticationError` when there is no API key, and `ValidationError` when a setting cannot be used.
        """
        given_server = server if server is not None else environ.get("STRONGROOM_SERVER") or DEFAULT_SERVER
        ca_file = ca_cert if ca_cert is not None else environ.get("STRONGROOM_CA_CERT") or None
        endpoint = _endpoint(given_server, has_ca=ca_file is not None)
        if not endpoint.tls and not endpoint.loopback and not insecure_plaintext:
            problem = (
                "is plaintext, and others on the network could read API keys and values: use https://, or accept the "
                "risk with insecure_plaintext=True."
            )
            raise arguments.invalid("server", problem)
        if ca_cert is not None and not endpoint.tls:
            problem = "cannot be used with an http:// server, which is plaintext: use https://, or leave ca_cert out."
            raise arguments.invalid("ca_cert", problem)
        certificate = _client_certificate(client_cert, client_key, endpoint)
        key, file = _credential(api_key, api_key_file, token_file, environ, needed=certificate is None)
        given_namespace = namespace if namespace is not None else environ.get("STRONGROOM_NAMESPACE", "")
        return cls(
            api_key=key,
            credential_file=file,
            endpoint=endpoint,
            namespace=arguments.text("namespace", given_namespace),
            ca_certificates=read_file("ca_cert", ca_file) if endpoint.tls and ca_file is not None else None,
            client_certificate=certificate,
            timeout=arguments.seconds("timeout", timeout),
        )

    def describe(self, client: str) -> str:
        """Returns the `repr` of a client: its server and namespace, without the API key."""
        scheme = "https" if self.endpoint.tls else "http"
        return f"{client}(server='{scheme}://{self.endpoint}', namespace={self.namespace!r})"


def _credential(
    api_key: str | None, api_key_file: Path | None, token_file: Path | None, environ: Mapping[str, str], *, needed: bool
) -> tuple[str, Path | None]:
    """Returns the API key or token, and its file when it has one. Errors do not show it.

    The environment fills in only when no argument is a credential, and not when it is not `needed`: a caller who passes
    a client certificate does not want the API key of the shell.
    """
    if sum(given is not None for given in (api_key, api_key_file, token_file)) > 1:
        raise arguments.invalid(
            "api_key", "must be the only credential: pass one of api_key, api_key_file, token_file."
        )
    for argument, path in (("api_key_file", api_key_file), ("token_file", token_file)):
        if path is not None:
            return read_credential(argument, path), path
    key = api_key if api_key is not None else environ.get("STRONGROOM_API_KEY", "") if needed else ""
    from_environment = environ.get("STRONGROOM_API_KEY_FILE", "") if needed and api_key is None and not key else ""
    if from_environment:
        return read_credential("STRONGROOM_API_KEY_FILE", from_environment), from_environment
    # Files and shells add white space.
    key = arguments.text("api_key", key).strip()
    if key:
        return checked("api_key", key), None
    if needed or api_key is not None:
        raise AuthenticationError(
            "There is no API key: pass api_key=, or set STRONGROOM_API_KEY or STRONGROOM_API_KEY_FILE.",
            reason="CREDENTIAL_MISSING",
        )
    return "", None


def _client_certificate(certificate: Path | None, key: Path | None, endpoint: Endpoint) -> tuple[bytes, bytes] | None:
    """Returns the client's private key and certificate."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise arguments.invalid("client_cert", "and client_key belong together: pass both, or none of them.")
    if not endpoint.tls:
        raise arguments.invalid("client_cert", "cannot be used in plaintext: use an https:// server.")
    return read_file("client_key", key), read_file("client_cert", certificate)


def _endpoint(server: str, *, has_ca: bool) -> Endpoint:
    """Parses the address of the server.

    A bare `host:port` means plaintext only for this machine, so that a key never crosses a network in plaintext by
    accident.
    """
    scheme, separator, rest = arguments.text("server", server).partition("://")
    if not separator:
        scheme, rest = "", server
    scheme = scheme.lower()
    parts = _split(rest[:-1] if scheme and rest.endswith("/") else rest)
    if (separator and scheme not in ("http", "https")) or parts is None:
        raise arguments.invalid("server", _SERVER)
    host, port = parts
    loopback = _is_loopback(host)
    tls = {"http": False, "https": True}.get(scheme, has_ca or not loopback)
    return Endpoint(host=host, port=port, tls=tls, loopback=loopback)


def _split(address: str) -> tuple[str, int] | None:
    """Returns host and port. None: the address is not exactly `host`, `host:port`, `[IPv6]` or `[IPv6]:port`."""
    match = re.fullmatch(r"(?:\[([^\[\]]*)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?", address, re.ASCII)
    if match is None:
        return None
    inside, host, digits = match.groups()
    if inside is not None:
        try:
            ipaddress.IPv6Address(inside)
        except ValueError:
            return None
        host = inside
    port = DEFAULT_PORT if digits is None else int(digits)
    # A credential in the wrong place must not be asked for as the name of a host.
    credential = host.startswith(("srk_", "srmk_")) or (host.startswith("eyJ") and len(host) > 20)
    return None if credential or not 1 <= port <= 65535 else (host, port)


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
