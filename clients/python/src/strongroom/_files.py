"""The files that settings name."""

from __future__ import annotations

import os
import re
from typing import Union

from strongroom import _arguments as arguments

__all__ = ["Path", "read_file"]

Path = Union[str, "os.PathLike[str]"]


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
