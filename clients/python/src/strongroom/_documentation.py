"""Gives the methods of the clients the name, text and signature of their calls, for `help()` and editors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["document", "item_of", "result_of"]


def document(method: Callable[..., Any], build: Callable[..., Any], returns: str | None = None) -> None:
    """Gives `method` the name, the docstring and the signature of `build`.

    `build` returns `Call[X]`, and `method` returns X. `returns` replaces X in the signature.
    """
    signature = inspect.signature(build)
    scope, *arguments = signature.parameters.values()
    result = returns or str(signature.return_annotation)[len("Call[") : -1]
    method.__name__ = build.__name__.rstrip("_")
    method.__qualname__ = method.__name__
    method.__doc__ = build.__doc__
    # `setattr`, because a type checker knows no attribute `__signature__` of a function.
    signature = inspect.Signature([scope.replace(name="self", annotation=scope.empty), *arguments])
    setattr(method, "__signature__", signature.replace(return_annotation=result))  # noqa: B010


def result_of(build: Callable[..., Any]) -> str:
    """Returns `X` for a `build` that returns `Call[X]`."""
    return str(inspect.signature(build).return_annotation)[len("Call[") : -1]


def item_of(build: Callable[..., Any]) -> str:
    """Returns `X` for a `build` that returns `Call[Page[X]]`. A page with another name begins with X."""
    result = result_of(build)
    return result[len("Page[") : -1] if result.startswith("Page[") else result[: -len("Page")]
