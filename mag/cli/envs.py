"""`mag envs`: the environments, the paper's maps first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mag.algorithms.mag.method import TABLE_1
from mag.cli.parsing import parse, wrap
from mag.errors import UsageError
from mag.options import did_you_mean

if TYPE_CHECKING:
    from mag.envs import EnvSpec

PAPER = tuple(f"smac_jax/{map_name}" for map_name in TABLE_1)
"""The paper's maps."""
COLUMNS = "The columns are agents, features of an observation, actions, and the steps after which an episode is cut."
NO_WINS = "* has returns, but no wins."
OWN_REWARDS = "+ pays each agent its own reward: they compete, or their interests are mixed; no wins."
FIRST = "The paper's eight maps come first."
OWN = """Maps of your own: smac_jax/FILE.toml, a map in a file, or PACKAGE.MODULE/MAP, a module with the functions
`specs` and `make` (`mag.envs.Family`)."""


@dataclass(frozen=True)
class Options:
    """List the environments; with FILTER those whose name contains that word, such as `mag envs smax`."""


def run(words: list[str]) -> None:
    """Print a line for each environment."""
    given, _ = parse(words, Options(), "mag envs", ("[FILTER]",))
    from mag import envs

    specs = envs.specs()
    names = [*PAPER, *(name for name in specs if name not in PAPER)]
    found = [specs[name] for name in names if all(word in name for word in given)]
    if not found:
        near = did_you_mean(given[0], dict.fromkeys(part for name in names for part in (*name.split("/"), name)))
        raise UsageError(f"no environment's name contains {given[0]!r}{near}; `mag envs` lists all")
    notes = [] if all(spec.has_wins or not spec.team_reward for spec in found) else [NO_WINS]
    notes += [] if all(spec.team_reward for spec in found) else [OWN_REWARDS]
    print(
        "\n".join(
            [
                *table(found),
                "",
                *wrap(COLUMNS if given else f"{COLUMNS} {FIRST}"),
                *(line for note in notes for line in wrap(note)),
                *wrap(OWN),
            ]
        )
    )


def table(specs: list["EnvSpec"]) -> Iterator[str]:
    """The rows: name, agents, observation, actions and steps."""
    width = max(len(spec.name) for spec in specs)
    yield f"{'':{width}} {'agents':>6} {'obs':>3} {'actions':>7} {'steps':>5}"
    for spec in specs:
        mark = "+" if not spec.team_reward else "" if spec.has_wins else "*"
        yield f"{spec.name:{width}} {spec.n_agents:6} {spec.obs_dim:3} {spec.n_actions:7} {spec.episode_limit:5}{mark}"
