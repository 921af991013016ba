"""Makes `help()` and editors show a client's method as what it is: the arguments of its call, and what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["document"]


def document(method: Callable[..., Any], build: Callable[..., Any], returns: str | None = None) -> None:
    """Gives `method` the name, the text and the signature of `build`, whose `Call[X]` it turns into X, or `returns`."""
    signature = inspect.signature(build)
    scope, *arguments = signature.parameters.values()
    result = returns or str(signature.return_annotation)[len("Call[") : -1]
    method.__name__ = build.__name__.rstrip("_")
    method.__qualname__ = method.__name__
    method.__doc__ = build.__doc__
    # By `setattr`, because to a type checker a function has no signature of its own to set.
    signature = inspect.Signature([scope.replace(name="self", annotation=scope.empty), *arguments])
    setattr(method, "__signature__", signature.replace(return_annotation=result))  # noqa: B010
