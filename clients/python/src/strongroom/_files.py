"""The files that settings name."""

from __future__ import annotations

import os
import re
from typing import Union

from strongroom import _arguments as arguments

__all__ = ["Path", "Signature", "read_file", "signature"]

Path = Union[str, "os.PathLike[str]"]
Signature = tuple[int, int, int, int]


def read_file(argument: str, path: Path) -> bytes:
    """Returns the content of a file. An error names the argument, the file and the error of the system."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        shown = os.fspath(path)
        if re.search(r"(^|/)(srk_|srmk_|eyJ)[^/]{16,}$", shown):
            shown = "a file whose name is a credential: give the name of the file that holds it"
        problem = f"cannot read {shown}: {error.strerror or type(error).__name__}; check the path."
    raise arguments.misconfigured(argument, problem)


def signature(path: Path) -> Signature | None:
    """Returns what differs once the file was replaced or written. None: the file is not there now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
