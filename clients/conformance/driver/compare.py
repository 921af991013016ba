"""Compares a reply with its expectation. Every language is compared here, so the comparison is the same for all."""

from __future__ import annotations

import base64
import re
from typing import Any

_VARIABLE = re.compile(r"\$\{(\w+)\}")

# A shorter text occurs in dumps by chance.
_SHORTEST_VALUE = 6


def substitute(given: Any, variables: dict[str, Any]) -> Any:
    """Returns `given` with each `${name}` replaced. A text that is only a variable becomes the variable's value."""
    if isinstance(given, dict):
        return {key: substitute(value, variables) for key, value in given.items()}
    if isinstance(given, list):
        return [substitute(value, variables) for value in given]
    if not isinstance(given, str):
        return given
    whole = _VARIABLE.fullmatch(given)
    if whole:
        return variables[whole[1]]
    return _VARIABLE.sub(lambda match: str(variables[match[1]]), given)


def differences(expected: dict[str, Any], reply: dict[str, Any]) -> list[str]:
    """Returns how a reply differs from `{"ok": …}` or `{"error": …}`. Empty: it does not."""
    if "error" in expected:
        if "error" not in reply:
            return [f"succeeded with {_short(reply.get('ok'))}, expected the error {_short(expected['error'])}"]
        return _of_error(expected["error"], reply["error"])
    if "error" in reply:
        error = reply["error"]
        return [f"failed: {error.get('class')} {error.get('reason') or ''}: {error.get('message')}"]
    return _of(expected.get("ok", {}), reply.get("ok"), "ok")


def leaks(reply: dict[str, Any], values: set[str]) -> list[str]:
    """Returns where a dump or a message shows one of the values or credentials."""
    shown = [("the dump", str(reply.get("dump", "")))]
    if "error" in reply:
        shown += [(f"error.{field}", str(text)) for field, text in reply["error"].items()]
    forms = {form: value for value in values if len(value) >= _SHORTEST_VALUE for form in _forms(value)}
    return [f"{place} shows a value or a credential" for place, text in shown if any(form in text for form in forms)]


def values_in(given: Any) -> set[str]:
    """Returns the values of secrets in arguments or in a reply: every `{"text": …}` and `{"binary": …}`."""
    found: set[str] = set()
    if isinstance(given, dict):
        if set(given) == {"text"} and isinstance(given["text"], str):
            return {given["text"]}
        if set(given) == {"binary"} and isinstance(given["binary"], str):
            return {base64.b64decode(given["binary"]).decode("latin-1")}
        for value in given.values():
            found |= values_in(value)
    elif isinstance(given, list):
        for value in given:
            found |= values_in(value)
    return found


def _of_error(expected: dict[str, Any], error: dict[str, Any]) -> list[str]:
    found = [
        f"error.{field} is {error.get(field)!r}, expected {expected[field]!r} (message: {error.get('message')})"
        for field in ("class", "reason", "code")
        if field in expected and (error.get(field) or None) != expected[field]
    ]
    message = str(error.get("message", ""))
    for part in expected.get("message", []):
        if part.lower() not in message.lower():
            found.append(f"the message does not contain {part!r}: {message}")
    if error.get("reason") and not error.get("request_id"):
        found.append("the server's error has no request_id")
    return found


def _of(expected: Any, found: Any, place: str) -> list[str]:
    """An object must have the expected fields, and may have others. A list must have as many items."""
    if isinstance(expected, dict) and len(expected) == 1 and next(iter(expected)).startswith("$"):
        return _of_matcher(*next(iter(expected.items())), found, place)
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [f"{place} is {_short(found)}, expected {_short(expected)}"]
        return [text for key, value in expected.items() for text in _of(value, found.get(key), f"{place}.{key}")]
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return [f"{place} is {_short(found)}, expected {_short(expected)}"]
        return [text for i, pair in enumerate(zip(expected, found)) for text in _of(*pair, f"{place}[{i}]")]
    # 1 and 1.0 are the same number in JSON, but true is not 1.
    if found != expected or isinstance(found, bool) != isinstance(expected, bool):
        return [f"{place} is {_short(found)}, expected {_short(expected)}"]
    return []


def _of_matcher(matcher: str, argument: Any, found: Any, place: str) -> list[str]:
    if matcher == "$present":
        return [] if found not in (None, "", [], {}) else [f"{place} is missing"]
    if matcher == "$matches":
        return [] if isinstance(found, str) and re.fullmatch(argument, found) else [f"{place} is {_short(found)}"]
    if matcher == "$includes":
        missing = [item for item in argument if not isinstance(found, list) or item not in found]
        return [f"{place} is {_short(found)}, expected it to include {missing}"] if missing else []
    raise ValueError(f"the scenario uses an unknown matcher: {matcher}")


def _forms(value: str) -> list[str]:
    """The value as text, in base64 and hexadecimal, and as the lists of bytes that languages print."""
    data = value.encode()
    numbers = [str(byte) for byte in data]
    return [value, base64.b64encode(data).decode().rstrip("="), data.hex(), " ".join(numbers), ", ".join(numbers)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "…"
