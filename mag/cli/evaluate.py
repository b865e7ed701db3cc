"""`mag evaluate`: test the newest checkpoint of a run."""

import json
from dataclasses import dataclass
from pathlib import Path

from mag.cli.parsing import announce, caution, parse
from mag.options import choice, number
from mag.runtime import setup


@dataclass(frozen=True)
class Options:
    """Play test episodes with the newest checkpoint of the run in folder RUN."""

    episodes: int = number(32, least=1, source=None)
    """Episodes per seed."""
    env: str | None = choice(None, source=None)
    """Another environment whose agents, observations and actions have the run's sizes (default: the run's own)."""
    sampled: bool = choice(False, source=None)
    """Draw actions as in training, exploration included; without it play is greedy."""
    test_seed: int | None = number(None, least=0, source=None)
    """Random seed of the episodes, the same ones for every run (default: the episodes of training's last test)."""
    batch: int | None = number(None, least=1, source=None)
    """Episodes played at once (default: all or, of environments on the host, one per core)."""
    json: bool = choice(False, source=None)
    """Print one JSON object instead of text."""


def run(words: list[str]) -> None:
    """Test a run."""
    (path,), options = parse(words, Options(), "mag evaluate", ("RUN",))
    from mag.runs.zoo import config_at, map_at

    config = config_at(Path(path))  # finds a folder without a run before JAX is loaded
    announce(f"playing {options.episodes} test episodes of {path}")
    setup(config.num_seeds)
    caution(options.env or config.env, None if options.env else map_at(Path(path)))
    from mag.reports.evaluate import evaluate_run, format_result

    result = evaluate_run(
        Path(path),
        options.episodes,
        env=options.env,
        sampled=options.sampled,
        test_seed=options.test_seed,
        batch=options.batch,
    )
    print(json.dumps(result) if options.json else format_result(result))
