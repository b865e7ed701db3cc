"""`mag diagnose`: what the world model of a run predicts, beside what happened."""

import json
from dataclasses import dataclass
from pathlib import Path

from mag.cli.parsing import parse
from mag.options import choice, number
from mag.runs.zoo import config_at
from mag.runtime import setup


@dataclass(frozen=True)
class Options:
    """Compare what the world model of the run in folder RUN predicts with what D_e holds."""

    batches: int = number(40, least=1, source=None)
    """Batches of sequences, of the run's first seed."""
    json: bool = choice(False, source=None)
    """Print one JSON object instead of text."""


def run(words: list[str]) -> None:
    """Diagnose a run."""
    (path,), options = parse(words, Options(), "mag diagnose", ("RUN",))
    config_at(Path(path))  # a folder without a run does not wait for JAX
    setup()
    from mag.reports.diagnose import diagnose_run, format_result

    result = diagnose_run(Path(path), options.batches)
    print(json.dumps(result, allow_nan=False) if options.json else format_result(result))
