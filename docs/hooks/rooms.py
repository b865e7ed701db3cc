"""A picture of the package's rooms, made from its layers and imports."""

import ast
import configparser
import html
import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WIDTH, ROW, GAP = 720, 62, 10
STYLE = """<style>
text { font-family: sans-serif; }
.room { fill: #f3f4f6; stroke: #9ca3af; }
.name { fill: #111827; font-size: 14px; font-weight: 700; }
.about { fill: #111827; font-size: 12px; }
.uses { fill: #4b5563; font-size: 11px; }
</style>"""
"""Dark on a light ground of its own, which is read on light and dark pages."""


def layers() -> list[list[str]]:
    """The floors from top to bottom, as the import checker knows them, each a list of modules; algorithms in parts."""
    file = configparser.ConfigParser()
    file.read(ROOT / ".importlinter")
    parts = floors_of(file["importlinter:contract:algorithms"])
    floors = floors_of(file["importlinter:contract:rooms"])
    return [each for floor in floors for each in (parts if floor == ["mag.algorithms"] else [floor])]


def floors_of(contract: Mapping[str, str]) -> list[list[str]]:
    """The floors of one contract."""
    lines = [line for line in contract["layers"].split("\n") if line.strip()]
    return [[f"{contract['containers']}.{name.strip()}" for name in re.split("[|:]", line)] for line in lines]


def files(module: str) -> list[Path]:
    """The source files of a module or package."""
    path = ROOT / module.replace(".", "/")
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def about(module: str) -> str:
    """The first sentence of a module's docstring."""
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return re.split(r"\.(?: [A-Z]|$)", " ".join(text.partition("\n\n")[0].replace("`", "").split()))[0]


def uses(module: str, known: list[str]) -> list[str]:
    """The other rooms that a room imports, in the order of the floors."""
    names: set[str] = set()
    for file in files(module):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return [each for each in known if each != module and any(f"{name}.".startswith(f"{each}.") for name in names)]


def rooms_svg() -> str:
    """The rooms as a picture: a box for each, with what it is about and what it imports."""
    floors = layers()
    known = [module for floor in floors for module in floor]
    parts, y = [], GAP
    for floor in floors:
        width = (WIDTH - GAP * (len(floor) - 1)) / len(floor)
        for index, module in enumerate(floor):
            parts.append(box(module, index * (width + GAP), y, width, uses(module, known)))
        y += ROW + GAP
    size = f'width="{WIDTH + 2 * GAP}" height="{y}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="{-GAP} 0 {WIDTH + 2 * GAP} {y}">'
    ground = f'<rect x="{-GAP}" {size} rx="5" fill="#fff"/>'
    return "\n".join([head, STYLE, ground, *parts, "</svg>\n"])


def box(module: str, x: float, y: float, width: float, imports: list[str]) -> str:
    """One room."""
    room = int(width / 6.4)
    found = ", ".join(each.removeprefix("mag.") for each in imports)
    lines = (
        (22, "name", f"{module.removeprefix('mag.')} ({len(files(module))})"),
        (39, "about", clipped(about(module), room)),
        (54, "uses", clipped(f"uses {found}" if found else "uses nothing of the package", room)),
    )
    texts = "".join(f'<text x="{x + 10:.0f}" y="{y + dy}" class="{kind}">{text}</text>' for dy, kind, text in lines)
    return f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{ROW}" rx="5" class="room"/>{texts}'


def clipped(text: str, length: int) -> str:
    """A text that fits."""
    return html.escape(text if len(text) <= length else text[: length - 1].rsplit(" ", 1)[0] + " …")
