"""Dispatch: the table of commands, and the exit code and message of every mistake."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn

from mag.cli.parsing import HelpAsked
from mag.errors import UsageError, discard
from mag.options import did_you_mean

COMMANDS = {
    "train": "train a method; the same command again resumes the run",
    "evaluate": "play greedy test episodes with a trained run",
    "watch": "show battles of a run, real and imagined, in a browser",
    "diagnose": "measure what the world model of a run predicts",
    "bench": "measure the speed of the parts",
    "envs": "list the environments",
    "doctor": "check this machine, and StarCraft II where it is installed",
    "sweep": "make the runs of a study",
    "report": "compare runs: table, statistics, figures and a page",
    "bound": "compute Theorem 1 on tasks small enough to be exact",
}
"""The commands; the module of that name in this package has `run(words)`."""

USAGE = f"""usage: mag COMMAND [OPTIONS]

Models as Agents: model-based multi-agent reinforcement learning in JAX.

commands:
{chr(10).join(f"  {name:9} {what}" for name, what in COMMANDS.items())}

Battles of a trained policy, at once:
  mag watch zoo/3s_vs_3z-g2a

A first run, model-free, of some minutes:
  mag train --env smax/2s3z --algo commnet --size small

The paper's method, in small networks; about an hour on one core:
  mag train --env smac_jax/3s_vs_3z --size small
  mag watch runs/smac_jax_3s_vs_3z-mag-small-tuned-seed0

`mag COMMAND --help` explains a command, `mag --version` shows the version.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 done; 1 the output was closed, or a check or run failed; 2 a mistake of the user. Training that was
    saved and stopped: 130 (Ctrl-C), 143 (SIGTERM), 129 (the terminal was closed), 141 (the output was closed). Stopped
    at once: 130.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "" not in sys.path:
        sys.path.append("")  # users' own methods, environments and planners may lie in the current folder
    try:
        try:
            dispatch(words)
        finally:
            if sys.stdout is not None:  # None where the output was closed before the start
                sys.stdout.flush()
    except UsageError as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("mag: stopped at once; what training has saved stands", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if error.filename is not None:
            fail(f"{error.filename}: {error.strerror}; fix that and give the same command again")
        if isinstance(error, BrokenPipeError):
            discard(sys.stdout)
            sys.exit(1)
        if output_is_taken():
            fail(f"{error.strerror or error}; fix that and give the same command again")
        discard(sys.stdout)
        fail(f"the output cannot be written: {error.strerror}; send it elsewhere")


def output_is_taken() -> bool:
    """Whether what was printed, and an empty line, can be written."""
    try:
        print(flush=True)
    except OSError:
        return False
    return True


def dispatch(words: list[str]) -> None:
    """Run the command that the first word names."""
    name, *rest = words or ["--help"]
    if name == "help" and rest:
        name, rest = rest[0], ["--help"]
    if name in ("-h", "--help", "help"):
        print(USAGE, end="")
    elif name == "--version":
        from mag import __version__

        print(f"mag {__version__}")
    elif name in COMMANDS:
        run: Callable[[list[str]], None] = import_module(f"mag.cli.{name}").run
        try:
            run(rest)
        except HelpAsked as asked:
            print(asked)
    else:
        raise UsageError(f"unknown command {name}{did_you_mean(name, COMMANDS)}; known are {', '.join(COMMANDS)}")


def fail(message: str) -> NoReturn:
    """Print one line on standard error and exit with code 2."""
    print(f"mag: {message}", file=sys.stderr)
    sys.exit(2)
