"""Whether libraries that PostgreSQL is to load are there: a server that misses one does not start,
or lets no session in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from raftha.errors import Problem

PARAMETERS: Final = (
    "shared_preload_libraries",
    "session_preload_libraries",
    "local_preload_libraries",
)
_SUFFIXES: Final = ("", ".so")


def missing(parameters: Mapping[str, str], folder: Path, search_path: str) -> list[Problem]:
    """Of the libraries that these parameters name, those that this machine lacks. `folder` is what
    PostgreSQL calls $libdir, and `search_path` its dynamic_library_path."""
    found = []
    for parameter in PARAMETERS:
        plugins = folder / "plugins" if parameter.startswith("local") else None
        for name in names_in(parameters.get(parameter, "")):
            places = _places(name, folder, search_path) if plugins is None else [plugins / name]
            if not any(
                Path(f"{place}{suffix}").is_file() for place in places for suffix in _SUFFIXES
            ):
                found.append(
                    Problem(
                        f"postgresql.parameters.{parameter}",
                        f"{name} is not in {', '.join(str(place.parent) for place in places)}",
                        "install it on every member first, or correct its name",
                    )
                )
    return found


def names_in(value: str) -> list[str]:
    """The names in a list as PostgreSQL has it: between commas, some in double quotes."""
    return [name for part in value.split(",") if (name := part.strip().strip('"'))]


def _places(name: str, folder: Path, search_path: str) -> list[Path]:
    """Where a library may lie; a name with a slash says it all."""
    if "/" in name:
        return [Path(name.replace("$libdir", str(folder)))]
    folders = [part.replace("$libdir", str(folder)) for part in search_path.split(":")]
    return [Path(part) / name for part in folders if part]
