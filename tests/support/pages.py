"""The README and the site's pages, taken apart: fenced blocks, names of code, paths and links."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```$", re.S | re.M)
FILES = r"(?:mag|tests|results|studies|docs|examples)/[\w/.-]+\.(?:py|md|json|toml|png|csv)"


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    """What follows the fence; empty for commands that are to be run."""
    text: str

    @property
    def file(self) -> str | None:
        """The file that a block of Python says it is, in its first line."""
        found = re.match(r"# ([\w/]+\.py)\n", self.text)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, without their indentation."""
    return [
        Block(name(page), language, re.sub(f"^{indent}", "", text, flags=re.M))
        for indent, language, text in FENCE.findall(page.read_text())
    ]


def name(page: Path) -> str:
    """A page as tests call it."""
    return page.relative_to(ROOT).as_posix()


def commands(page: Path) -> list[str]:
    """The `mag` commands in a page's blocks, without the words that explain them behind several spaces."""
    lines = [line for block in blocks(page) if block.language in ("", "text") for line in block.text.splitlines()]
    found = (re.match(r"(?:\w+=\S+ )*(mag \w.*?)(?:\s{3,}.*)?$", line.strip()) for line in lines)
    return [match[1] for match in found if match and "runs/..." not in match[1]]


def names() -> list[tuple[str, str]]:
    """Every `mag/file.py: Name` in the pages."""
    text = "\n".join(page.read_text() for page in PAGES)
    return sorted(set(re.findall(r"`(mag/[\w/]+)\.py: ([\w.]+)`", text)))


def paths(page: Path) -> list[str]:
    """The files of the repository that a page names in backticks."""
    return sorted(set(re.findall(rf"`({FILES})(?::[^`]*)?`", page.read_text())))


def links(page: Path) -> list[str]:
    """The files that a page links to by a relative path."""
    text = FENCE.sub("", page.read_text())
    return [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
