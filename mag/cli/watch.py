"""`mag watch`: a page or film of a run's battles."""

from dataclasses import dataclass
from pathlib import Path

from mag.cli.parsing import announce, caution, parse
from mag.options import choice, number
from mag.runs.zoo import config_at, map_at
from mag.runtime import setup


@dataclass(frozen=True)
class Options:
    """Show greedy battles of the newest checkpoint of the run in folder RUN, real and imagined."""

    episodes: int = number(4, least=1, source=None)
    """Greedy battles of the run's first seed, the first ones that `mag evaluate` plays."""
    out: Path | None = choice(None, source=None)
    """File to write, with the folders on the way: an .html page for any browser, a .gif, or an .mp4 where there is
    ffmpeg (default: RUN/battles.html; of zoo/NAME, NAME-battles.html here)."""


def run(words: list[str]) -> None:
    """Write the battles and print the file."""
    (path,), options = parse(words, Options(), "mag watch", ("RUN",))
    config = config_at(Path(path))  # finds a folder without a run before JAX is loaded
    announce(f"playing battles of {path}")
    setup()
    caution(config.env, map_at(Path(path)))
    from mag.reports.watch import watch

    print(watch(Path(path), options.episodes, options.out))
