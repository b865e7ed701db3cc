"""`mag bench`: the speed of one part."""

from dataclasses import dataclass

from mag.algorithms.config import RunConfig
from mag.algorithms.registry import default_config
from mag.cli.parsing import parse
from mag.options import choice
from mag.runtime import setup


@dataclass(frozen=True)
class Options:
    """Measure the speed of PART: planning, world-model, ppo, env or iteration."""

    algo: str | None = choice(None, source=None)
    """Method of `iteration` (none: mag)."""
    env: str | None = choice(None, source=None)
    """Environment of `iteration` (none: smac_jax/3s_vs_3z)."""
    json: bool = choice(False, source=None)
    """Print one JSON object instead of text."""


def run(words: list[str]) -> None:
    """Measure."""
    (part,), options = parse(words, Options(), "mag bench", ("PART",))
    setup(workers=default_config(options.algo or "mag", options.env or RunConfig().env, "small").workers)
    from mag.reports import bench

    bench.run(part, json=options.json, algo=options.algo, env=options.env)
