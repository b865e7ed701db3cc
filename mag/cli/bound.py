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
    """Agents."""
    observations: int = number(3, least=2, source=None)
    """Observations that an agent can have."""
    actions: int = number(2, least=1, source=None)
    """Actions of an agent."""
    seed: int = number(0, least=0, source=None)
    """Which random task."""
    errors: str = choice("0,0.01,0.03,0.1,0.3,1", source=None)
    """Shares of something wrong in what the local models predict."""
    horizons: str = choice("2,5,10,20,50", source=None)
    """Effective horizons 1 / (1 - gamma)."""
    shift: float = number(0.1, least=0, most=1, source=None)
    """Share of another policy in pi, which pi_D has not."""
    dependence: float = number(0.0, least=0, most=1, source=None)
    """Share in which agents' next observations depend on each other, which no local models can predict."""
    tasks: int = number(0, least=0, most=1_000_000, source=None)
    """Random tasks on which every inequality of the proof is tried."""
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
    """A list of numbers parted by commas."""
    try:
        found = tuple(float(word) for word in text.split(",") if word.strip())
    except ValueError:
        found = ()
    if not found:
        raise UsageError(f"--{name} {text} must be numbers parted by commas, such as 0,0.1,1")
    return found
