"""Messages for failures that came from no server of Strongroom: what is wrong, and what to do.

gRPC tells in a text why it could not connect. Only this module reads these texts. No decision hangs on them, but one:
whether a call was sent at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from strongroom._endpoint import Endpoint

__all__ = ["explain", "was_not_sent"]

# How gRPC begins its text when it had no connection that the call could be sent over.
_NOT_CONNECTED = ("failed to connect to all addresses", "connections to all backends failing", "errors resolving")

# What gRPC says when the other side ended the connection, or sent what is not HTTP/2.
_ENDED = ("Socket closed", "Connection reset", "Broken pipe", "Failed parsing HTTP/2", "recvmsg")


def was_not_sent(code: grpc.StatusCode, text: str) -> bool:
    """Whether the call was not sent, since there was no connection."""
    return code is grpc.StatusCode.UNAVAILABLE and text.startswith(_NOT_CONNECTED)


def explain(
    code: grpc.StatusCode, text: str, rpc: str, used: Endpoint, problems: Sequence[tuple[Endpoint, str | None]]
) -> str:
    """Returns the message for a status without a reason.

    `used` is the server that the call was for. `problems` has, for each server of the client, why the last attempt to
    connect to it failed. None: it did not fail.
    """
    servers = ", ".join(str(endpoint) for endpoint, _ in problems)
    known = [_of_connection(endpoint, problem) for endpoint, problem in problems if problem is not None]
    if code is grpc.StatusCode.UNAVAILABLE and was_not_sent(code, text):
        return " ".join(known) or _of_connection(used, text)
    if code is grpc.StatusCode.UNAVAILABLE:
        return (
            f"The connection to the server at {used} broke: check that the server runs and that the address is right. "
            f"The cause: {_sentence(text)}"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        if len(known) == len(problems):
            return " ".join(known)
        return f"The server at {used} did not answer in time: check that it is not overloaded, or raise `timeout`."
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return (
            f"The server at {used} does not serve {rpc}: it is of an older release than this client, or no Strongroom. "
            "Update the server, or use a client of its release."
        )
    if code in (
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    ):
        return (
            f"The answer from {servers} is not one of Strongroom: check the address, and proxies on the way. It says: "
            f"{_sentence(text)}"
        )
    return text


def _of_connection(server: Endpoint, text: str) -> str:
    """Describes why there is no connection to one server."""
    name, cause = f"The server at {server}", f"The cause: {_sentence(text)}"
    of_certificate = "CERTIFICATE_VERIFY_FAILED" in text
    if of_certificate and ("expired" in text or "not yet valid" in text):
        return (
            f"The certificate of the server at {server} has expired or is not yet valid: renew it, and check the "
            "clocks of both machines."
        )
    if "Hostname Verification" in text or (of_certificate and "mismatch" in text.lower()):
        return (
            f"The certificate of the server at {server} is for other names: use an address that it names, or give the "
            "server a certificate with this one."
        )
    if of_certificate:
        return (
            f"The certificate of the server at {server} is not signed by an authority that this client trusts: give "
            f"the right CA certificate with ca_cert= or STRONGROOM_CA_CERT. {cause}"
        )
    if "WRONG_VERSION_NUMBER" in text or "HTTP_REQUEST" in text:
        return (
            f"{name} does not use TLS: turn TLS on there, or use the address http://{server} if it is on this machine."
        )
    if text.startswith("errors resolving") or "lookup" in text:
        return f"The host of the address {server} is not known: check the address, and the DNS. {cause}"
    ended = "Handshake read failed" in text or any(sign in text for sign in _ENDED)
    if server.tls and ended:
        return (
            f"{name} ended the connection in place of a TLS handshake: check that it uses TLS, and accepts the "
            f"client certificate if there is one, or use the address http://{server} if it is on this machine."
        )
    if server.tls and ("handshake" in text.lower() or "SSL" in text):
        return (
            f"No TLS connection to the server at {server}: check that it uses TLS, and accepts the client certificate "
            f"if there is one. {cause}"
        )
    if ended:
        return f"{name} does not answer in plaintext: if it uses TLS, use the address https://{server}. {cause}"
    if "unhealthy" in text or "health" in text:
        return f"{name} says that it cannot serve now: see its log. {cause}"
    return f"{name} cannot be reached: check that it runs and that the address is right. {cause}"


def _sentence(text: str) -> str:
    """Returns the text with a full stop at its end."""
    return f"{text.rstrip().rstrip('.')}."
