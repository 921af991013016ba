"""The settings of a client, from its arguments and the environment.

An argument takes precedence over its environment variable. An empty variable counts as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from strongroom import _arguments as arguments
from strongroom._certificates import ClientCertificate
from strongroom._credential import checked, read_credential
from strongroom._endpoint import DEFAULT_SERVER, Endpoint, endpoints
from strongroom._files import Path, read_file
from strongroom.exceptions import AuthenticationError

__all__ = ["DEFAULT_TIMEOUT", "Path", "Settings"]

DEFAULT_TIMEOUT = 30.0


@dataclass(frozen=True)
class Settings:
    """The checked settings of one client."""

    api_key: str = field(repr=False)
    """The API key or the token. Empty: it comes from the token source, or the client certificate is the credential."""
    credential_file: Path | None
    """The file that has the API key or the token. None: it does not come from a file."""
    token_source: Callable[[], Any] | None = field(repr=False)
    """Returns a token. None: no function does."""
    endpoints: tuple[Endpoint, ...]
    namespace: str
    ca_certificates: bytes | None = field(repr=False)
    """The trusted certificates as PEM. None: the certificates of the system."""
    client_certificate: tuple[bytes, bytes] | None = field(repr=False)
    """The client's private key and its certificate, as PEM. None: it has none."""
    certificate_files: ClientCertificate | None = field(repr=False, compare=False)
    """The files that they come from."""
    timeout: float
    """Seconds for a call with all its retries."""

    @classmethod
    def resolve(
        cls,
        api_key: str | None,
        server: str | Sequence[str] | None,
        namespace: str | None,
        ca_cert: Path | None,
        timeout: float,
        environ: Mapping[str, str],
        *,
        insecure_plaintext: bool = False,
        api_key_file: Path | None = None,
        token_file: Path | None = None,
        token_source: Callable[[], Any] | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
    ) -> Settings:
        """Reads the settings from the arguments; the environment fills in the arguments that are None.

        Raises `AuthenticationError` when there is no API key, and `ConfigurationError` when a setting cannot be used.
        """
        given = (api_key, api_key_file, token_file, token_source)
        if client_cert is None and client_key is None and all(one is None for one in given):
            client_cert = environ.get("STRONGROOM_CLIENT_CERT") or None
            client_key = environ.get("STRONGROOM_CLIENT_KEY") or None
        given_server = server if server is not None else environ.get("STRONGROOM_SERVER") or DEFAULT_SERVER
        ca_file = ca_cert if ca_cert is not None else environ.get("STRONGROOM_CA_CERT") or None
        found = endpoints(
            given_server,
            tls_by_default=ca_file is not None or client_cert is not None,
            insecure_plaintext=insecure_plaintext,
        )
        tls = found[0].tls
        if ca_cert is not None and not tls:
            problem = "cannot be used with an http:// server, which is plaintext: use https://, or leave ca_cert out."
            raise arguments.misconfigured("ca_cert", problem)
        files = _client_certificate(client_cert, client_key, tls=tls)
        key, file = _credential(given, environ, needed=files is None)
        given_namespace = namespace if namespace is not None else environ.get("STRONGROOM_NAMESPACE", "")
        return cls(
            api_key=key,
            credential_file=file,
            token_source=token_source,
            endpoints=found,
            namespace=arguments.text("namespace", given_namespace),
            ca_certificates=read_file("ca_cert", ca_file) if tls and ca_file is not None else None,
            client_certificate=None if files is None else files.read(),
            certificate_files=files,
            timeout=arguments.seconds("timeout", timeout),
        )

    def describe(self, client: str) -> str:
        """Returns the `repr` of a client: its servers and namespace, without the API key."""
        servers = ",".join(endpoint.url for endpoint in self.endpoints)
        return f"{client}(server='{servers}', namespace={self.namespace!r})"


def _credential(
    given: tuple[str | None, Path | None, Path | None, Any], environ: Mapping[str, str], *, needed: bool
) -> tuple[str, Path | None]:
    """Returns the API key or token, and its file when it has one. Errors do not show it.

    The environment fills in only when no argument is a credential, and not when it is not `needed`: a caller who passes
    a client certificate does not want the API key of the shell.
    """
    api_key, api_key_file, token_file, token_source = given
    if sum(one is not None for one in given) > 1:
        raise arguments.misconfigured(
            "api_key", "must be the only credential: pass one of api_key, api_key_file, token_file, token_source."
        )
    if token_source is not None:
        if not callable(token_source):
            raise TypeError(f"token_source must be a function, not {type(token_source).__name__}")
        return "", None
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
            "There is no API key: pass api_key=, api_key_file=, token_file=, token_source= or client_cert=, or set "
            "STRONGROOM_API_KEY or STRONGROOM_API_KEY_FILE.",
            reason="CREDENTIAL_MISSING",
        )
    return "", None


def _client_certificate(certificate: Path | None, key: Path | None, *, tls: bool) -> ClientCertificate | None:
    """Returns the files of the client's certificate. None: it has none."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise arguments.misconfigured("client_cert", "and client_key belong together: pass both, or none of them.")
    if not tls:
        raise arguments.misconfigured("client_cert", "cannot be used in plaintext: use an https:// server.")
    return ClientCertificate(certificate, key)
