"""`mag bench`: the speed of one part."""

from dataclasses import dataclass

from mag.algorithms.config import RunConfig
from mag.algorithms.registry import default_config
from mag.cli.parsing import parse
from mag.errors import UsageError
from mag.options import choice, did_you_mean
from mag.runtime import setup

PARTS = ("planning", "world-model", "ppo", "env", "iteration")
"""The parts that `mag.reports.bench` measures, listed here so that a mistake is found before JAX is loaded."""


@dataclass(frozen=True)
class Options:
    """Measure the speed of PART: planning, world-model, ppo, env or iteration."""

    algo: str | None = choice(None, source=None)
    """Method of `iteration` (default: mag)."""
    env: str | None = choice(None, source=None)
    """Environment of `iteration` (default: smac_jax/3s_vs_3z)."""
    json: bool = choice(False, source=None)
    """Print one JSON object instead of text."""


def run(words: list[str]) -> None:
    """Measure a part."""
    (part,), options = parse(words, Options(), "mag bench", ("PART",))
    if part not in PARTS:
        raise UsageError(f"unknown benchmark {part!r}{did_you_mean(part, PARTS)}; there are {', '.join(PARTS)}")
    setup(workers=default_config(options.algo or "mag", options.env or RunConfig().env, "small").workers)
    from mag.reports import bench

    bench.run(part, json=options.json, algo=options.algo, env=options.env)
