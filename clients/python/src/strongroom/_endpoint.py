"""The addresses of the servers, and whether they use TLS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from strongroom import _arguments as arguments

__all__ = ["DEFAULT_SERVER", "Endpoint", "endpoints"]

DEFAULT_SERVER = "127.0.0.1:50051"
DEFAULT_PORT = 50051

_SERVER = (
    "must be host:port, http://host:port (plaintext) or https://host:port (TLS), with a port from 1 to 65535 or none."
)


@dataclass(frozen=True)
class Endpoint:
    """The address of a server, and whether to use TLS."""

    host: str
    port: int
    tls: bool
    loopback: bool

    def __str__(self) -> str:
        """The address as `host:port`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The address with its scheme."""
        return f"{'https' if self.tls else 'http'}://{self}"


def endpoints(given: str | Sequence[str], *, tls_by_default: bool, insecure_plaintext: bool) -> tuple[Endpoint, ...]:
    """Parses the addresses: one text, with commas between several, or a sequence of texts.

    All of them use TLS, or none does. `tls_by_default`: there is a CA file or a client certificate, so that TLS is
    meant on this machine too.
    """
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, (str, Sequence)):
        raise TypeError(f"server must be str or a sequence of str, not {type(given).__name__}")
    texts = given.split(",") if isinstance(given, str) else list(given)
    found = tuple(_endpoint(text, tls_by_default=tls_by_default) for text in texts)
    if not found:
        raise arguments.misconfigured("server", "must be one address at least.")
    if not insecure_plaintext and any(not endpoint.tls and not endpoint.loopback for endpoint in found):
        problem = (
            "is plaintext, and others on the network could read API keys and values: use https://, or accept the "
            "risk with insecure_plaintext=True."
        )
        raise arguments.misconfigured("server", problem)
    if len({endpoint.tls for endpoint in found}) > 1:
        problem = "has some addresses in plaintext and some with TLS: give all of them as https://, or all as http://."
        raise arguments.misconfigured("server", problem)
    return found


def _endpoint(server: str, *, tls_by_default: bool) -> Endpoint:
    """Parses the address of one server.

    A bare `host:port` means plaintext only for this machine, so that a key never crosses a network in plaintext by
    accident.
    """
    scheme, separator, rest = arguments.text("server", server).partition("://")
    if not separator:
        scheme, rest = "", server
    scheme = scheme.lower()
    parts = _split(rest[:-1] if scheme and rest.endswith("/") else rest)
    if (separator and scheme not in ("http", "https")) or parts is None:
        raise arguments.misconfigured("server", _SERVER)
    host, port = parts
    loopback = _is_loopback(host)
    tls = {"http": False, "https": True}.get(scheme, tls_by_default or not loopback)
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
