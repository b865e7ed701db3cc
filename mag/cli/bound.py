"""`mag bound`: Theorem 1 on tasks small enough to compute exactly."""

from dataclasses import dataclass
from pathlib import Path

from mag.cli.parsing import parse
from mag.errors import UsageError
from mag.options import choice, number


@dataclass(frozen=True)
class Options:
    """Compute both returns, the policy shift, the models' error at each step and the bounds of Theorem 1 exactly, for a
    random team task and local models with a known error; docs/theorem-1.md explains what is printed."""

    agents: int = number(2, least=1, source=None)
    """Number of agents."""
    observations: int = number(3, least=2, source=None)
    """Number of observations that an agent can have."""
    actions: int = number(2, least=1, source=None)
    """Number of actions of an agent."""
    seed: int = number(0, least=0, source=None)
    """Random seed of the task."""
    errors: str = choice("0,0.01,0.03,0.1,0.3,1", source=None)
    """Shares of wrong distributions mixed into the local models' predictions."""
    horizons: str = choice("2,5,10,20,50", source=None)
    """Effective horizons 1 / (1 - gamma)."""
    shift: float = number(0.1, least=0, most=1, source=None)
    """Share of another policy mixed into pi, but not into pi_D."""
    dependence: float = number(0.0, least=0, most=1, source=None)
    """How much agents' next observations depend on each other, from 0 to 1; no local models can predict that part."""
    tasks: int = number(0, least=0, most=1_000_000, source=None)
    """Number of random tasks on which every inequality of the proof is checked."""
    out: Path | None = choice(None, source=None)
    """Folder for tables and a picture."""


def run(words: list[str]) -> None:
    """Compute and print."""
    _, options = parse(words, Options(), "mag bound")
    from mag.experiments.bound_report import Setting, report
    from mag.experiments.tabular import Sizes

    sizes = Sizes(options.agents, options.observations, options.actions)
    errors, horizons = (numbers(name, getattr(options, name)) for name in ("errors", "horizons"))
    setting = Setting(sizes, options.seed, errors, horizons, options.shift, options.dependence)
    print(report(setting, options.tasks, options.out), end="")


def numbers(name: str, text: str) -> tuple[float, ...]:
    """A list of numbers separated by commas."""
    try:
        found = tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError:
        found = ()
    if not found:
        raise UsageError(f"--{name} {text} must be numbers separated by commas, such as 0,0.1,1")
    return found
