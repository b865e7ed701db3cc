"""The pages' shell lines, cut short: what is typed, but with sizes, steps and environments of a test."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.support.pages import PAGES, blocks, name

RUN = "runs/smac_jax_3s_vs_3z-mag-small-tuned-seed0"
"""The run that most pages go on with; here one of a method that compiles in seconds."""
QUICK = "--algo tests.support.fake --num-seeds 1"
"""That method."""
MODELS = "runs/models"
"""A run of MAG on the smallest task, for lines that need one."""
ELSEWHERE = {
    "git clone": "needs the network",
    "pip install": "changes this environment; tests/test_packaging.py plays from the package",
    "make setup": "made this environment",
    ". .venv": "enters this environment",
    "make test": "is what runs this test",
    "docker": "needs a container daemon",
    "mag .*starcraft/": "needs StarCraft II; tests/envs/starcraft plays on a server of its own",
    "mag .*smaclite/": "needs SMAClite, which is not on the package index",
}
"""Beginnings of lines that do not run here, and why."""
VARIABLES = r"^(?:\w+=\S+ )*"
"""What a line sets for its program."""
PROGRAMS = re.compile(VARIABLES + r"((?:mag|python|pip|git|make|docker|\.) .*?)(?:\s{3,}.*)?$")
CUT = ("--size", "--steps", "--episodes", "--rollouts", "--batches", "--tasks")
"""Options whose values decide how long a command takes."""
SHORT = {
    "train": "--size debug --steps 32",
    "evaluate": "--episodes 2",
    "watch": "--episodes 1",
    "diagnose": "--batches 1 --rollouts 4",
    "bound": "--tasks 10",
}
"""What is typed instead."""
CHEAPER = {"smac_jax/3s_vs_5z": "smac_jax/3s_vs_3z", "smac_jax/2s3z": "smac_jax/3s_vs_3z", "smax/2s3z": "smax/3s_vs_3z"}
"""Maps by one of the same family that is played sooner."""
FEWER = {"8": "4"}
"""Workers that divide the batches of size debug."""
DEFAULTS = (("--algo", "mag"), ("--recipe", "tuned"))
"""What a CPU takes by itself, so that one run stands for lines with and without it."""


def typed(page: Path) -> list[str]:
    """The lines of a page that are typed into a shell, without the words that explain them behind several spaces."""
    lines = [
        line.strip() for block in blocks(page) if block.language in ("", "text") for line in block.text.split("\n")
    ]
    return [found[1] for found in map(PROGRAMS.match, lines) if found]


def reason(line: str) -> str | None:
    """Why a line does not run here; None if it does."""
    return next((why for begin, why in ELSEWHERE.items() if re.match(begin, line)), None)


def commands() -> dict[str, list[tuple[str, ...]]]:
    """What is run, each once, by the page (of lines that follow from each other) or the line that it is for."""
    found: dict[str, list[tuple[str, ...]]] = {}
    known: set[tuple[str, ...]] = set()
    for page in PAGES:
        for line in filter(lambda line: not reason(line), typed(page)):
            program, *words = shlex.split(line)
            for short in shortened(words) if program == "mag" else [(program, *words)]:
                if short not in known:
                    known.add(short)
                    depends = short[0] in ("sweep", "report")
                    found.setdefault(name(page) if depends else " ".join(short), []).append(short)
    return found


def shortened(words: list[str]) -> Iterator[tuple[str, ...]]:
    """A command of `mag` as it is run: of `mag train` first the environment, then the method with its options.

    A method that compiles in seconds plays the environment; the line's own plays the smallest task. MAG and MAMBA stop
    before there is enough to learn from.
    """
    command, *rest = words
    run = MODELS if command in ("train", "diagnose") else RUN
    given = dict(pairs([run if word in (RUN, "runs/hello") else word for word in rest]))
    for option in CUT:
        given.pop(option, None)
    if command == "bench" and "--env" in given:
        given["--env"] = "probe/relay"
    rest = [word for pair in given.items() for word in pair if word]
    short = shlex.split(SHORT.get(command, ""))
    if command != "train" or "--config" in given:
        yield (command, *rest, *short)
        return
    given.pop("--run", None)
    if "--workers" in given:
        given["--workers"] = FEWER.get(given["--workers"], given["--workers"])
    env = given.pop("--env", "smac_jax/3s_vs_3z")
    options = [word for pair in given.items() if pair not in DEFAULTS for word in pair]
    if env != "probe/relay":
        yield ("train", "--env", CHEAPER.get(env, env), *QUICK.split(), *short)
    yield ("train", "--env", "probe/relay", *options, *short)


def pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    """Options with their values, in order; what stands alone has none."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        yield word, rest.pop(0) if word.startswith("--") and rest and not rest[0].startswith("--") else ""
