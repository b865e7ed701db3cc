"""What `make pages` writes into the README and the pages: tables and help from the code, and the picture of the rooms.

Between the comments `<!-- make pages: NAME WORDS -->` and `<!-- end -->` stands what `MACROS[NAME]` returns for the
words.
"""

import re
from collections.abc import Callable
from pathlib import Path

import rooms
import tables

import results

DOCS = Path(__file__).resolve().parents[1]
MACROS: dict[str, Callable[..., str]] = {
    "beside_published": results.beside_published,
    "commands": tables.commands,
    "deviations": tables.deviations,
    "errors": tables.errors,
    "help": tables.help_of,
    "maps": tables.maps,
    "methods": tables.methods,
    "metrics": tables.metrics,
    "options": tables.options_of,
    "planning": results.planning,
    "scores": results.scores,
    "studies": results.studies,
    "win_rates": results.win_rates,
    "zoo": tables.zoo,
}
BLOCK = re.compile(r"^(<!-- make pages: (\S+)(.*) -->)\n(?:(?!<!-- make).*\n)*?(<!-- end -->)$", re.M)


def made() -> dict[Path, str]:
    """The files that the code decides, each with what it should hold."""
    pages = {path: filled(path.read_text()) for path in (*sorted(DOCS.rglob("*.md")), DOCS.parent / "README.md")}
    return pages | {DOCS / "assets/rooms.svg": rooms.rooms_svg()}


def filled(page: str) -> str:
    """A page whose blocks hold what the code says now."""
    return BLOCK.sub(lambda found: f"{found[1]}\n\n{MACROS[found[2]](*found[3].split())}\n\n{found[4]}", page)


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text)
