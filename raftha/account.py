"""The account that this process runs as, in the words of an operator."""

from __future__ import annotations

import os
import pwd


def own_name() -> str:
    """Its name, or its number where the system knows no name for it."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
