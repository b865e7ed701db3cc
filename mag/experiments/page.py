"""One HTML page of a report that needs nothing else: pictures within, light and dark, for wide and narrow screens."""

import html
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5b6470; --paper: #ffffff; --line: #d8dde3; --mark: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --dim: #9aa4b0; --paper: #14171a; --line: #333a42; --mark: #1d2126; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem clamp(0.8rem, 3vw, 2.5rem) 4rem; max-width: 76rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0.4rem 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 0.6rem; }
p, li { max-width: 48rem; } .dim, figcaption { color: var(--dim); font-size: 0.88rem; }
figure { margin: 0.5rem 0 1.6rem; overflow-x: auto; }
figure svg { width: 100%; height: auto; color: var(--ink); }
.wide { overflow-x: auto; } summary { cursor: pointer; color: var(--dim); }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.28rem 0.8rem 0.28rem 0; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; }
code { background: var(--mark); padding: 0.1rem 0.3rem; border-radius: 3px; overflow-wrap: anywhere; }
"""


class Section(NamedTuple):
    """A heading and what stands under it, as HTML."""

    heading: str
    body: str


def as_svg(figure: Any, salt: str) -> str:
    """A matplotlib figure as SVG in the colours of the page; `salt` keeps the names in several pictures apart."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([^;]*?)'[^;]*?sans-serif", r"font: \1system-ui, sans-serif", svg)
    svg = re.sub(r'id="((?:figure|axes|legend|patch|line2d|text|matplotlib|xtick|ytick|FillB)[^"]*)"', "", svg)
    return svg.replace("#000000", "currentColor").replace("<text ", '<text fill="currentColor" ')


def picture(svg: str, caption: str) -> str:
    """A picture with its caption: at most a quarter larger than drawn, and on a phone wide enough to be read."""
    found = re.search(r'width="([0-9.]+)pt"', svg)
    points = float(found[1]) if found else 500.0
    svg = svg.replace("<svg ", f"<svg style='min-width: {0.8 * points:.0f}px' ", 1)
    below = f"<figcaption>{html.escape(caption)}</figcaption>"
    return f"<figure style='max-width: {1.67 * points:.0f}px'>{svg}{below}</figure>\n"


def paragraphs(lines: list[str]) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>\n" if lines else ""


def write_page(path: Path, title: str, lead: str, sections: list[Section]) -> None:
    """Write the page."""
    body = "\n".join(f"<h2>{html.escape(heading)}</h2>\n{body}" for heading, body in sections if body)
    path.write_text(
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n<p class='dim'>{html.escape(lead)}</p>\n{body}</body>\n</html>\n"
    )
