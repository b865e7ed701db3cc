"""The README and the site's pages, taken apart: fenced blocks, names of code, paths and links."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```$", re.S | re.M)
GENERATED = re.compile(r"^<!-- make pages: .*?^<!-- end -->$", re.S | re.M)
"""What `make pages` writes into a page."""
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
    """The fenced blocks of a page but those that `make pages` writes, without their indentation."""
    return [
        Block(name(page), language, re.sub(f"^{indent}", "", text, flags=re.M))
        for indent, language, text in FENCE.findall(GENERATED.sub("", page.read_text()))
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
    """Every `mag/file.py: Name` in the pages, and every link to `mag/file.py#Name`."""
    text = "\n".join(page.read_text() for page in PAGES)
    return sorted(set(re.findall(r"(?:`|\.\./)(mag/[\w/]+)\.py(?:: |#)([\w.]+)[`)]", text)))


def paths(page: Path) -> list[str]:
    """The files of the repository that a page names in backticks."""
    return sorted(set(re.findall(rf"`({FILES})(?::[^`]*)?`", page.read_text())))


def links(page: Path) -> list[str]:
    """The links of a page to files and headings of the repository."""
    text = FENCE.sub("", page.read_text())
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether the file that a page links to exists and, in a page, the heading; `names` has names of code."""
    file, _, anchor = link.partition("#")
    target = (page.parent / file).resolve() if file else page
    return target.exists() and (not anchor or target.suffix == ".py" or anchor in anchors(target.read_text()))


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as web hosts of repositories make them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *$", FENCE.sub("", text), re.M):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w -]", "", shown).replace(" ", "-")
        found[slug] = found.get(slug, 0) + 1
    return {slug if not count else f"{slug}-{count}" for slug, times in found.items() for count in range(times)}
