"""What the site has beyond the pages of docs/: the pages made from results/. MkDocs calls the functions `on_...`."""

import importlib
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
results = importlib.import_module("results")


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
    """Lead links that hold in the repository to their place on the site."""
    return results.relink(markdown, page.file.src_uri)
