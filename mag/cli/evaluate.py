"""`mag evaluate`: test the newest checkpoint of a run."""

import json
from dataclasses import dataclass
from pathlib import Path

from mag.cli.parsing import parse
from mag.options import choice, number
from mag.runtime import setup


@dataclass(frozen=True)
class Options:
    """Play greedy test episodes with the newest checkpoint of the run in folder RUN."""

    episodes: int = number(32, least=1, source=None)
    """Greedy episodes per seed."""
    json: bool = choice(False, source=None)
    """Print one JSON object instead of text."""


def run(words: list[str]) -> None:
    """Test a run."""
    (path,), options = parse(words, Options(), "mag evaluate", ("RUN",))
    from mag.runs.config_file import load_config
    from mag.runs.folder import RunFolder

    setup(load_config(RunFolder(Path(path))).num_seeds)
    from mag.reports.evaluate import evaluate_run, format_result

    result = evaluate_run(Path(path), options.episodes)
    print(json.dumps(result) if options.json else format_result(result))
