"""What a mutant is: one mitigation taken out of the product, and the one test that must notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """`text` stands in `file` (below `raftha/`) exactly once, and is replaced by `instead`.

    `caught_by` names a test as pytest does, below `tests/`; it must fail within `limit_s` seconds.
    `without` says in words what is missing then, for the table that people read.
    """

    file: str
    without: str
    text: str
    instead: str
    caught_by: str
    limit_s: int = 60

    @property
    def name(self) -> str:
        return f"{self.file}: {self.without}"

    @property
    def needs_postgresql(self) -> bool:
        return self.caught_by.startswith("integration/")


def planted(mutant: Mutant, tree: Path) -> str:
    """The text of the file in a clone at `tree`, with the mutant in it.

    Raises AssertionError unless what it replaces is found once: the code has moved on, and the
    table of mutants has to follow it.
    """
    source = (tree / "raftha" / mutant.file).read_text()
    found = source.count(mutant.text)
    assert found == 1, (
        f"raftha/{mutant.file} holds the text of the mutant {mutant.without!r} {found} times, not "
        "once: correct its `text` in tests/mutants/, or delete the mutant if what it takes out is "
        f"gone\n{mutant.text}"
    )
    changed = source.replace(mutant.text, mutant.instead)
    compile(changed, mutant.file, "exec")
    return changed
