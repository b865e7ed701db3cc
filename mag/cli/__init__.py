"""The command line: parse and dispatch. Heavy imports wait until the words are known to make sense."""

import contextlib
import dataclasses
import difflib
import io
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from mag.errors import UsageError, discard
from mag.runtime import setup

USAGE = """usage: mag COMMAND [OPTIONS]

Model-based multi-agent reinforcement learning: MAG (Models as Agents) and its relatives.

commands:
  train      train an algorithm; the same command again resumes the run
  evaluate   play greedy test episodes with a trained run
  watch      show its battles, real and imagined, in a browser
  models     compare what its models predict with what happened
  bench      measure the speed of the parts
  envs       list the environments
  doctor     check this machine, and StarCraft II where it is installed

options:
  -h, --help     show this message; `mag COMMAND --help` tells about a command
  --version      show the version
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 nobody reads the output, 2 a mistake of the user's; training that was
    saved and stopped 130 (Ctrl-C), 143 (SIGTERM) or 141 (nobody reads the output); 130 stopped at once."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        dispatch(words)
        sys.stdout.flush()
    except UsageError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("mag: stopped at once; the last checkpoint stands", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if error.filename is not None:
            fail(f"{error.filename}: {error.strerror}; mend that and give the same command")
        discard(sys.stdout)
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        fail(f"the output cannot be written: {error.strerror}; send it elsewhere")


def dispatch(words: list[str]) -> None:
    """Call the command that the first word names."""
    commands: dict[str, Callable[[list[str]], None]] = {
        "train": train,
        "evaluate": evaluate,
        "watch": watch,
        "models": models,
        "bench": bench,
        "envs": envs,
        "doctor": check_machine,
    }
    name, *rest = words or ["--help"]
    if name in ("-h", "--help", "help"):
        print(USAGE, end="")
    elif name == "--version":
        from importlib.metadata import version

        print(f"mag {version('models-as-agents')}")
    elif name in commands:
        commands[name](rest)
    else:
        raise UsageError(f"unknown command {name}{nearest(name, commands)}; known are {', '.join(commands)}")


def fail(message: str) -> NoReturn:
    """One line on standard error, exit code 2."""
    print(f"mag: {message}", file=sys.stderr)
    sys.exit(2)


def train(words: list[str]) -> None:
    """`mag train`: the defaults depend on algorithm, environment and preset, so these are read first."""
    from mag import envs as environments
    from mag.algorithms.config import RunConfig, flatten, validate
    from mag.algorithms.registry import check_used, default_config

    chosen: dict[str, Any] = {
        name: getattr(RunConfig(), name) if (given := peek(words, name)) is None else given
        for name in ("algo", "env", "preset")
    }
    options = default_config(chosen["algo"], chosen["env"], "cpu" if chosen["preset"] == "auto" else chosen["preset"])
    words = canonical(words, {"run", *flatten(dataclasses.asdict(options))}, "mag train")
    if "--help" not in words:
        # Before the environment is looked at: a module of the user's may compute when it is imported.
        setup(*(count(words, name, getattr(options, name)) for name in ("num_seeds", "workers")))
    elif chosen["preset"] == "auto":
        chosen["preset"] = "cpu"  # which one it would be, JAX knows; help does not wait for it
    environments.spec(chosen["env"])
    default = default_config(chosen["algo"], chosen["env"], chosen["preset"])
    parsed = parse(train_arguments(default), words, "mag train", TRAIN_HELP.format(**chosen))
    config = dataclasses.replace(parsed.config, preset=default.preset)
    validate(config)
    check_used(config, default)
    from mag.runs import train as training
    from mag.runs.interrupt import Interrupted

    try:
        training.train(config, parsed.run)
    except Interrupted as stop:
        sys.exit(stop.exit_code)


TRAIN_HELP = """Train an algorithm. The same command again resumes the run, more --steps extend it.

Defaults depend on --algo, --env and --preset; these are of {algo} on {env} with preset {preset}."""

RUN_HELP = "Run folder (default: runs/<env>-<algo>-<preset>-seed<seed>)."


def train_arguments(default: Any) -> Any:
    """A dataclass of the run's configuration and its folder."""
    import tyro

    config: Any = Annotated[type(default), tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    run = Annotated[Path | None, tyro.conf.arg(help=RUN_HELP, metavar="DIR", help_behavior_hint="")]
    fields = [
        ("config", config, dataclasses.field(default=default)),
        ("run", run, dataclasses.field(default=None)),
    ]
    return dataclasses.make_dataclass("Train", fields)


def evaluate(words: list[str]) -> None:
    """`mag evaluate RUN`."""
    import tyro

    @dataclasses.dataclass
    class Evaluate:
        run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
        """Run folder, as made by `mag train`."""
        episodes: int = 32
        """Greedy episodes per seed."""
        json: tyro.conf.FlagCreatePairsOff[bool] = False
        """Print one JSON object instead of text."""

    parsed = read(Evaluate, words, "Test the newest checkpoint of a run.")
    from mag.runs.config_file import load_config
    from mag.runs.folder import RunFolder

    setup(load_config(RunFolder(parsed.run)).num_seeds)
    from mag.reports.evaluate import evaluate_run, tell

    result = evaluate_run(parsed.run, parsed.episodes)
    print(json.dumps(result) if parsed.json else tell(result))


def watch(words: list[str]) -> None:
    """`mag watch RUN`."""
    import tyro

    @dataclasses.dataclass
    class Watch:
        run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
        """Run folder, as made by `mag train`."""
        episodes: int = 4
        """Greedy battles of the run's first seed, those with which `mag evaluate` begins."""
        out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
        """Where to write: an .html page for any browser, a .gif, or an .mp4 where there is ffmpeg
        (default: RUN/battles.html)."""

    parsed = read(Watch, words, "Show battles of a run's newest checkpoint.")
    setup()
    from mag.reports.watch import watch as write

    print(write(parsed.run, parsed.episodes, parsed.out))


def models(words: list[str]) -> None:
    """`mag models RUN`."""
    import tyro

    @dataclasses.dataclass
    class Models:
        run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
        """Run folder of a model-based algorithm, as made by `mag train`."""
        batches: int = 40
        """Batches of sequences, of the run's first seed."""
        json: tyro.conf.FlagCreatePairsOff[bool] = False
        """Print one JSON object instead of text."""

    parsed = read(Models, words, "Compare what a run's models predict with what D_e holds.")
    setup()
    from mag.reports.diagnose import models_of_run, tell

    result = models_of_run(parsed.run, parsed.batches)
    print(json.dumps(result, allow_nan=False) if parsed.json else tell(result))


def bench(words: list[str]) -> None:
    """`mag bench PART`."""
    import tyro

    @dataclasses.dataclass
    class Bench:
        part: tyro.conf.Positional[Literal["planning", "world-model", "ppo", "env", "iteration"]]
        """What to measure."""
        algo: str | None = None
        """Algorithm of `iteration` (default: mag)."""
        env: str | None = None
        """Environment of `iteration` (default: smac_jax/3s_vs_3z)."""
        json: tyro.conf.FlagCreatePairsOff[bool] = False
        """Print one JSON object instead of text."""

    parsed = read(Bench, words, "Measure one part's speed.")
    from mag.algorithms.config import RunConfig
    from mag.algorithms.registry import default_config

    setup(workers=default_config(parsed.algo or "mag", parsed.env or RunConfig().env, "cpu").workers)
    from mag.reports import bench as benches

    benches.run(parsed.part, json=parsed.json, algo=parsed.algo, env=parsed.env)


def envs(words: list[str]) -> None:
    """`mag envs`."""

    @dataclasses.dataclass
    class Envs:
        pass

    read(Envs, words, "List the environments.")
    from mag import envs as environments

    for spec in environments.specs().values():
        print(describe(spec))


def check_machine(words: list[str]) -> None:
    """`mag doctor`."""
    from mag.cli.doctor import run

    run(words)


def read(made: Any, words: list[str], description: str) -> Any:
    """An instance of the dataclass of a command, called as it is; raises UsageError where the words are wrong.

    What has a default is an option, and an option that is a whole number counts something: it is at least 1.
    """
    prog = f"mag {made.__name__.lower()}"
    options = {field.name for field in dataclasses.fields(made) if field.default is not dataclasses.MISSING}
    parsed = parse(made, canonical(words, options, prog), prog, description)
    for name in options:
        if type(value := getattr(parsed, name)) is int and value < 1:
            raise UsageError(f"--{name} is {value} but must be at least 1")
    return parsed


def parse(made: Any, words: list[str], prog: str, description: str) -> Any:
    """An instance of the dataclass `made`; raises UsageError, in one sentence, where the words are wrong."""
    import tyro

    complaint, columns = io.StringIO(), os.environ.get("COLUMNS")
    if "--help" not in words:  # so wide that no line of a complaint is broken
        os.environ["COLUMNS"] = "100000"
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(made, args=words, prog=prog, description=description)
    except SystemExit as exit_:
        if not exit_.code:
            raise
    finally:
        os.environ.pop("COLUMNS", None)
        os.environ |= {} if columns is None else {"COLUMNS": columns}
    raise UsageError(f"{sentence(complaint.getvalue())}; `{prog} --help` explains")


def canonical(words: list[str], names: set[str], prog: str) -> list[str]:
    """The words with every option spelt as its field; raises UsageError for one that is none."""
    known = {plain(name): name for name in names}
    spelt = []
    for word in words:
        option, equals, value = ("--help" if word == "-h" else word).partition("=")
        if option.startswith("--") and option != "--help":
            name = plain(option[2:])
            if name not in known:
                meant = nearest(name.replace("_", "-"), [name.replace("_", "-") for name in known], "--")
                raise UsageError(f"unknown option {option}{meant}; `{prog} --help` lists all")
            option = f"--{known[name]}"
        spelt.append(option + equals + value)
    return spelt


def plain(name: str) -> str:
    """`-` and `_` are the same, and an underscore that only avoids a Python keyword may be left out."""
    return name.replace("-", "_").removesuffix("_")


def peek(words: list[str], name: str) -> str | None:
    """The value of an option, the last one given; None where it is not."""
    found = None
    for word, following in itertools.zip_longest(words, words[1:]):
        if word == f"--{name}":
            found = following
        elif word.startswith(f"--{name}="):
            found = word.partition("=")[2]
    return found


def count(words: list[str], name: str, default: int) -> int:
    """The value of an option that counts something; 1 where it is not a number to count with, which others report."""
    found = peek(words, name)
    if found is None:
        return default
    try:
        return max(1, int(found))
    except ValueError:
        return 1


def nearest(word: str, known: Any, prefix: str = "") -> str:
    """` (did you mean ...?)` where something known is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {prefix}{close[0]}?)" if close else ""


def sentence(box: str) -> str:
    """The first paragraph of one of tyro's framed messages, in words without Python's."""
    lines = []
    for line in box.splitlines()[1:]:
        text = line.strip("│╭╮╰╯| ")
        if not set(text) <= {"─", "-"}:
            lines.append(text)
        elif lines:
            break
    told = " ".join(lines).rstrip(".") or "the command line cannot be read"
    told = re.sub(r"invalid literal for int\(\) with base 10: (.*)", r"\1 is not a whole number", told)
    return re.sub(r"could not convert string to float: (.*)", r"\1 is not a number", told)


def describe(spec: Any) -> str:
    """One environment in a line."""
    return (
        f"{spec.name:40} {spec.n_agents:3} agents  observation {spec.obs_dim:4}  {spec.n_actions:3} actions  "
        f"at most {spec.episode_limit:4} steps{'' if spec.has_wins else '  (no wins)'}"
    )
