"""A report as one self-contained HTML page with its pictures, in light or dark, for wide and narrow screens."""

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
p { max-width: 48rem; margin: 0.3rem 0; overflow-wrap: anywhere; }
.dim, figcaption { color: var(--dim); font-size: 0.88rem; }
figure { margin: 0.5rem 0 1.6rem; overflow-x: auto; }
figure svg { width: 100%; height: auto; color: var(--ink); }
.wide { overflow-x: auto; } summary { cursor: pointer; color: var(--dim); }
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.28rem 0.8rem 0.28rem 0; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; }
.wide :is(th, td):first-child { position: sticky; left: 0; background: var(--paper); }
code { background: var(--mark); padding: 0.1rem 0.3rem; border-radius: 3px; overflow-wrap: anywhere; }
"""


class Section(NamedTuple):
    """A heading and the HTML below it."""

    heading: str
    body: str


def as_svg(figure: Any, salt: str) -> str:
    """A matplotlib figure as SVG in the colours of the page; another `salt` gives a picture other element names."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*sans-serif", "font-family: system-ui, sans-serif", svg)
    svg = re.sub(r'id="((?:figure|axes|legend|patch|line2d|text|matplotlib|xtick|ytick|FillB)[^"]*)"', "", svg)
    return svg.replace("#000000", "currentColor").replace("<text ", '<text fill="currentColor" ')


def capital(text: str) -> str:
    """A text with a capital first letter; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def figure_html(svg: str, caption: str) -> str:
    """A picture with its caption, at most 1.25 times its size; a narrow screen scrolls it at 0.86 times its size."""
    found = re.search(r'width="([0-9.]+)pt"', svg)
    points = float(found[1]) if found else 500.0
    svg = svg.replace("<svg ", f"<svg style='min-width: {1.15 * points:.0f}px' ", 1)
    below = f"<figcaption>{html.escape(capital(caption))}</figcaption>"
    return f"<figure style='max-width: {1.67 * points:.0f}px'>{svg}{below}</figure>\n"


def write_page(path: Path, title: str, lead: list[str], sections: list[Section]) -> None:
    """Write the page; `lead` holds the sentences above all sections."""
    above = "".join(f"<p class='dim'>{html.escape(capital(line))}</p>\n" for line in lead)
    body = "\n".join(f"<h2>{html.escape(heading)}</h2>\n{body}" for heading, body in sections if body)
    path.write_text(
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{above}{body}</body>\n</html>\n"
    )
