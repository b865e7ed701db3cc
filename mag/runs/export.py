"""Making an entry of the zoo (`mag.runs.zoo`) from a run:

python -m mag.runs.export RUN NAME [SEED]
"""

import dataclasses
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mag.algorithms.config import RunConfig
from mag.errors import UsageError
from mag.options import typed, values
from mag.runs import zoo
from mag.runs.folder import replace, write_json
from mag.runs.resolve import changed_options
from mag.runs.trained import Trained, load_run, place_of
from mag.runs.weights import weights, write_weights

LARGEST = 1_000_000
"""Most bytes that an entry's weights may take."""
ALWAYS_NAMED = ("env", "algo", "size", "recipe", "seed", "steps")
"""Options that `command` always names."""


def export(run: Path, name: str, seed: int | None = None, into: Path = zoo.FOLDER) -> Path:
    """Make an entry from one seed of a run, by default the first; returns the entry's folder.

    An entry of that name is replaced. Raises UsageError if there is no such run or seed, or if its weights are too
    large in value or in bytes.
    """
    loaded = load_run(run)
    index = place_of(seed, loaded.config, run)
    into.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=into) as parent:
        draft = Path(parent) / name
        draft.mkdir()
        file = draft / "weights.npz"
        write_weights(file, weights(loaded.state.learner, index))
        if (size := file.stat().st_size) > LARGEST:
            raise UsageError(f"the weights of {run} take {size} bytes; an entry of the zoo has at most {LARGEST}")
        write_json(draft / "config.json", described(loaded, index, zoo.map_at(run)))
        replace(into / name, draft)
    return into / name


def described(run: Trained, index: int, content: dict[str, Any] | None) -> dict[str, Any]:
    """An entry's config.json: the run's options, and the run that it was made from."""
    config, progress, evaluation = run.config, run.progress, run.progress.evaluation
    alone = dataclasses.replace(config, seed=config.seed + index, num_seeds=1, workers=1)
    made = {
        "command": command(dataclasses.replace(config, steps=min(config.steps, progress.slowest))),
        "iteration": progress.iteration,
        "env_steps": progress.env_steps[index],
        "eval_win_rate": evaluation.win_rate[index] if evaluation and run.player.spec.has_wins else None,
        "eval_return": evaluation.returns[index] if evaluation else None,
    }
    told = {"made": made, "options": values(alone)}
    return told if content is None else {**told, "map": content}


def command(config: RunConfig) -> str:
    """The command that trains such a run: `ALWAYS_NAMED`, and the options that differ from its size and recipe."""
    words = [f"--{name} {getattr(config, name)}" for name in ALWAYS_NAMED]
    for name, value in changed_options(config).items():
        if name not in ALWAYS_NAMED:
            words.append(f"--{name.replace('_', '-')} {typed(value)}")
    return " ".join(["mag train", *words])


def main(words: list[str]) -> None:
    """Make an entry and print where it lies."""
    if len(words) not in (2, 3) or not all(word.isdecimal() for word in words[2:]):
        raise UsageError("the command is `python -m mag.runs.export RUN NAME [SEED]`")
    run, name, *seed = words
    print(export(Path(run), name, int(seed[0]) if seed else None))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UsageError as mistake:
        sys.exit(f"mag: {mistake}")
