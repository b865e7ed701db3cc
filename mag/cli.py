"""The command line: parse and dispatch. Heavy imports wait until the words are known to make sense."""

import contextlib
import dataclasses
import difflib
import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from mag.errors import UsageError

USAGE = """usage: mag COMMAND [OPTIONS]

Model-based multi-agent reinforcement learning: MAG (Models as Agents) and its relatives.

commands:
  train      train an algorithm; the same command again resumes the run
  evaluate   play greedy test episodes with a trained run
  bench      measure the speed of the parts
  envs       list the environments

options:
  -h, --help     show this message; `mag COMMAND --help` tells about a command
  --version      show the version
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 a mistake of the user's, 130 and 143 stopped by a signal."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        dispatch(words)
    except UsageError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("mag: stopped at once; the last checkpoint stands", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def dispatch(words: list[str]) -> None:
    """Call the command that the first word names."""
    commands: dict[str, Callable[[list[str]], None]] = {
        "train": train,
        "evaluate": evaluate,
        "bench": bench,
        "envs": envs,
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
    from mag.config import RunConfig, default_config, validate

    chosen = {field: peek(words, field) or default for field, default in choices(RunConfig()).items()}
    default = default_config(**chosen)
    made = dataclasses.make_dataclass(
        "Train",
        [
            ("config", Annotated[type(default), argument(name="")], dataclasses.field(default=default)),
            (
                "run",
                Annotated[Path | None, argument(help=RUN_HELP, metavar="DIR")],
                dataclasses.field(default=None),
            ),
        ],
    )
    names = {"run", *option_names(default)}
    parsed = parse(
        made, words, names, "mag train", "Train an algorithm. The same command again resumes the run."
    )
    config = dataclasses.replace(parsed.config, preset=default.preset)
    validate(config)
    start_jax()
    from mag import train as training
    from mag.interrupt import Interrupted

    try:
        training.train(config, parsed.run)
    except Interrupted as stop:
        sys.exit(stop.exit_code)


RUN_HELP = "Run folder; by default runs/<env>-<algo>-<preset>-seed<seed>."


def choices(default: Any) -> dict[str, str]:
    """The fields that decide all the other defaults."""
    return {name: getattr(default, name) for name in ("algo", "env", "preset")}


def evaluate(words: list[str]) -> None:
    """`mag evaluate RUN`."""
    import tyro

    @dataclasses.dataclass
    class Evaluate:
        run: Annotated[tyro.conf.Positional[Path], argument(metavar="RUN")]
        """Run folder, as made by `mag train`."""
        episodes: int = 32
        """Greedy episodes per seed."""
        json: bool = False
        """Print one JSON object instead of text."""

    parsed = parse(
        Evaluate, words, {"episodes", "json"}, "mag evaluate", "Test the newest checkpoint of a run."
    )
    if parsed.episodes < 1:
        raise UsageError(f"--episodes is {parsed.episodes} but must be at least 1")
    start_jax()
    from mag.evaluate_run import evaluate_run, tell

    result = evaluate_run(parsed.run, parsed.episodes)
    print(json.dumps(result) if parsed.json else tell(result))


def bench(words: list[str]) -> None:
    """`mag bench PART`."""
    import tyro

    @dataclasses.dataclass
    class Bench:
        part: tyro.conf.Positional[Literal["planning", "world-model", "ppo", "env", "iteration"]]
        """What to measure."""
        json: bool = False
        """Print one JSON object instead of text."""

    parsed = parse(Bench, words, {"json"}, "mag bench", "Measure the speed of one part.")
    start_jax()
    from mag import bench as benches

    benches.run(parsed.part, json=parsed.json)


def envs(words: list[str]) -> None:
    """`mag envs`."""

    @dataclasses.dataclass
    class Envs:
        pass

    parse(Envs, words, set(), "mag envs", "List the environments.")
    start_jax()
    from mag import envs as environments

    for spec in environments.specs():
        print(describe(spec))


def start_jax() -> None:
    """Load JAX with the settings of this program."""
    from mag.runtime import setup

    setup()


def argument(**settings: Any) -> Any:
    """`tyro.conf.arg`."""
    import tyro

    return tyro.conf.arg(**settings)


def parse(made: Any, words: list[str], names: set[str], prog: str, description: str) -> Any:
    """An instance of the dataclass `made`; raises UsageError, in one sentence, where the words are wrong."""
    import tyro

    words = canonical(words, names, prog)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(made, args=words, prog=prog, description=description)
    except SystemExit as exit_:
        if exit_.code:
            raise UsageError(f"{sentence(complaint.getvalue())}; `{prog} --help` explains") from None
        raise


def canonical(words: list[str], names: set[str], prog: str) -> list[str]:
    """The words with every option spelt as its field; raises UsageError for one that is none."""
    known = {plain(name): name for name in names}
    spelt = []
    for word in words:
        option, equals, value = word.partition("=")
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


def option_names(default: Any, prefix: str = "") -> list[str]:
    """`group.field` of every field of a dataclass."""
    names = []
    for field in dataclasses.fields(default):
        value = getattr(default, field.name)
        if dataclasses.is_dataclass(value):
            names += option_names(value, f"{prefix}{field.name}.")
        else:
            names.append(prefix + field.name)
    return names


def peek(words: list[str], name: str) -> str | None:
    """The value of an option, the last one given; None where it is not."""
    found = None
    for word, following in zip(words, [*words[1:], None], strict=True):
        if word == f"--{name}":
            found = following
        elif word.startswith(f"--{name}="):
            found = word.partition("=")[2]
    return found


def nearest(word: str, known: Any, prefix: str = "") -> str:
    """`; did you mean ...?` where something known is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {prefix}{close[0]}?)" if close else ""


def sentence(box: str) -> str:
    """The first paragraph of one of tyro's framed messages."""
    lines = []
    for line in box.splitlines()[1:]:
        text = line.strip("│╭╮╰╯ ")
        if set(text) <= {"─"}:
            break
        lines.append(text)
    return " ".join(lines).rstrip(".") or "the command line cannot be read"


def describe(spec: Any) -> str:
    """One environment in a line."""
    return (
        f"{spec.name:32} {spec.n_agents:3} agents  obs {spec.obs_dim:4}  actions {spec.n_actions:3}  "
        f"limit {spec.episode_limit:4}"
    )
