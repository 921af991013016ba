"""A token (JWT) that a function of the caller returns, and when to ask for the next one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Union

from strongroom import _arguments as arguments
from strongroom._credential import checked
from strongroom.exceptions import ConfigurationError

__all__ = ["AsyncTokenSource", "Token", "TokenKeeper", "TokenSource"]

# How long before its end a token is renewed, in seconds.
_RENEW_BEFORE = 30.0


@dataclass(frozen=True)
class Token:
    """A token (JWT) that a token source returns. No `repr` shows it."""

    text: str = field(repr=False)
    """The token."""
    expires_at: datetime | None = None
    """When it expires, a datetime with a time zone: the client asks for another one 30 seconds before. None: the client
    keeps the token until the server refuses it."""


TokenSource = Callable[[], Union[Token, str]]
"""A function that returns a token. The client keeps the token, and calls the function again before it expires and when
the server refuses it. It is never called twice at the same time."""

AsyncTokenSource = Callable[[], Union[Token, str, Awaitable[Union[Token, str]]]]
"""A function, `async` or not, that returns a token: see `TokenSource`."""


class TokenKeeper:
    """The token that is kept. The callers see to it that one of them asks at a time."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Tests replace `clock`."""
        self._clock = clock
        self._text = ""
        self._end: float | None = None

    def kept(self) -> str:
        """Returns the token to send. Empty: ask the source for one."""
        fresh = self._end is None or self._clock() + _RENEW_BEFORE < self._end
        return self._text if fresh else ""

    def keep(self, given: Any) -> str:
        """Keeps what the source has returned, and returns its text. Errors do not show it."""
        token = Token(given) if isinstance(given, str) else given
        if not isinstance(token, Token):
            raise TypeError(f"token_source must return Token or str, not {type(given).__name__}")
        text = arguments.text("token_source", token.text).strip()
        if not text:
            raise arguments.misconfigured("token_source", "returned an empty token.")
        end = None
        if token.expires_at is not None:
            arguments.timestamp("expires_at", token.expires_at)
            end = token.expires_at.timestamp()
        self._text, self._end = checked("token_source", text), end
        return self._text

    def after_failure(self, error: Exception) -> str:
        """Returns the present token where it works for a little while. Otherwise it raises an error."""
        if self._text and (self._end is None or self._clock() < self._end):
            return self._text
        if isinstance(error, ConfigurationError):
            raise error
        # The text of a foreign error can hold anything, also a token. So it is the cause, and not part of the text.
        raise ConfigurationError(f"The token source failed with {type(error).__name__}: see its cause.") from error

    def refused(self, text: str) -> None:
        """Drops the token that the server has refused."""
        if self._text == text:
            self._text, self._end = "", None
