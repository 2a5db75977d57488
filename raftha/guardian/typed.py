"""What the guardian needs of `typing`, without that module, which takes 0.7 MiB of its 12.

A type checker reads the real words; when the program runs, `NamedTuple` is made with `collections`,
which is there anyway, and the other words mean nothing: annotations are not evaluated.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""By this name a type checker takes it for true."""

if TYPE_CHECKING:
    from typing import Any as Any
    from typing import Final as Final
    from typing import NamedTuple as NamedTuple
    from typing import NoReturn as NoReturn
    from typing import Protocol as Protocol
else:
    from collections import namedtuple

    Any = Final = NoReturn = Protocol = object

    class _NamedTupleMaker(type):
        """Makes a tuple of what a class statement names, with its defaults and its methods."""

        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = body.pop("__annotations__")
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            for key in body.keys() - {"__module__", "__qualname__"}:
                setattr(made, key, body[key])
            return made

    class NamedTuple(metaclass=_NamedTupleMaker):
        """The base of a class statement, and of nothing afterwards."""
