"""What the site generates: tables from the code, and pages from the results. MkDocs calls the functions `on_...`.

A line `{{ NAME WORDS }}` in a page stands for what `MACROS[NAME]` returns for the words.
"""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
results, rooms, tables = map(importlib.import_module, ("results", "rooms", "tables"))

MACROS = {
    "commands": tables.commands,
    "deviations": tables.deviations,
    "errors": tables.errors,
    "help": tables.help_of,
    "maps": tables.maps,
    "methods": tables.methods,
    "metrics": tables.metrics,
    "options": tables.options_of,
    "rooms": rooms.rooms_svg,
    "scores": results.scores,
    "studies": results.studies,
    "zoo": tables.zoo,
}
LINE = re.compile(r"^\{\{ (\w+)((?: [^ }]+)*) \}\}$", re.M)


def on_config(config: Any) -> Any:
    """Add the studies and the lab book to the navigation."""
    for section in config.nav:
        if "Results" in section:
            section["Results"] += results.navigation()
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and pictures made from results/."""
    for path, content in results.pages().items():
        files.append(File.generated(config, path, content=content))
    for path, source in results.pictures().items():
        files.append(File.generated(config, path, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in what is generated, and lead links that hold in the repository to their place on the site."""
    markdown = LINE.sub(lambda found: MACROS[found[1]](*found[2].split()), markdown)
    return results.relink(markdown, page.file.src_uri)
