"""`mag diagnose`: what the world model of a run predicts, beside what happened."""

import json
from dataclasses import dataclass
from pathlib import Path

from mag.cli.parsing import announce, parse_with_group
from mag.errors import UsageError
from mag.options import choice, number
from mag.runs.folder import check_writable
from mag.runs.zoo import config_at
from mag.runtime import setup

PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Options:
    """Compare what the world model of the run in folder RUN predicts with what D_e holds, and with the simulator.

    Planner options (`--planner.kind`, `--planner.horizon`, ...) replace those of training: the run's models then
    predict with that planner."""

    batches: int = number(40, least=1, source=None)
    """Batches of stored sequences to predict."""
    rollouts: int = number(400, least=0, source=None)
    """Approximate number of rollouts in the world model whose joint actions the simulator repeats; 0 for none."""
    seed: int | None = number(None, least=0, source=None)
    """Which of the run's seeds (default: its first)."""
    out: Path | None = choice(None, source=None)
    """File for a picture of those rollouts, ending in .png, .svg or .pdf (default: no picture)."""
    json: bool = choice(False, source=None)
    """Print one JSON object instead of text."""


def run(words: list[str]) -> None:
    """Diagnose a run."""
    (path,), options, planner = parse_with_group(words, Options(), "mag diagnose", ("RUN",), group="planner.")
    out = picture_file(options)
    config_at(Path(path))  # finds a folder without a run before JAX is loaded
    announce(f"predicting and playing with the models of {path}")
    setup()
    from mag.reports.diagnose import diagnose_run, format_result
    from mag.reports.realism.show import write_picture

    result = diagnose_run(
        Path(path), options.batches, options.rollouts, planner, options.seed, simulator=out is not None
    )
    print(json.dumps(result, allow_nan=False) if options.json else format_result(result), flush=True)
    if out:
        write_picture(result["realism"], out, f"{result['algo']} on {result['env']}, {result['env_steps']} env steps")


def picture_file(options: Options) -> Path | None:
    """The picture's file. Raises UsageError, before anything is computed, if it cannot be written."""
    out = options.out
    if out is None:
        return None
    if out.suffix.lower() not in PICTURES:
        raise UsageError(f"--out is {out}; a picture's name ends in one of {', '.join(PICTURES)}")
    if options.rollouts == 0:
        raise UsageError("--out asks for a picture of rollouts and --rollouts 0 for none; leave one of them out")
    check_writable(out)
    return out
