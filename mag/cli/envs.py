"""`mag envs`: the environments by family, the paper's maps first."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mag.algorithms.mag.method import TABLE_1
from mag.cli.parsing import parse, wrap
from mag.errors import UsageError
from mag.options import did_you_mean

if TYPE_CHECKING:
    from mag.envs import EnvSpec

FAMILIES = {
    "smac_jax": "SMAC's maps of the paper in JAX, without StarCraft II",
    "smax": "JaxMARL's StarCraft-like battles, a simpler game",
    "starcraft": "SMAC's maps on StarCraft II itself, which has to be installed",
    "smaclite": "SMAC's maps in SMAClite, which has to be installed",
    "jaxmarl": "JaxMARL's other tasks: particles, Overcooked, Hanabi",
    "pettingzoo": "PettingZoo's particles, with the extra pettingzoo",
    "probe": "tiny tasks with known values, to test methods",
}
"""What each family is, the paper's maps first."""
COLUMNS = "The columns are agents, features of an observation, actions, and the steps after which an episode is cut."
NO_WINS = "* has returns, but no wins."
OWN_REWARDS = "+ pays each agent its own reward: they compete, or their interests are mixed; no wins."
TITLE = "Environments are named FAMILY/MAP, such as smac_jax/3s_vs_3z. By family:"
SIZES = (
    "`mag envs WORD` shows the sizes of those whose name contains WORD, such as `mag envs smac_jax` or `mag envs 2s3z`."
)
OWN = """Maps of your own: smac_jax/FILE.toml, a map in a file, or PACKAGE.MODULE/MAP, a module with the functions
`specs` and `make` (`mag.envs.Family`)."""


@dataclass(frozen=True)
class Options:
    """List the environments by family; with WORD the sizes of those whose name contains it: `mag envs smax`."""


def run(words: list[str]) -> None:
    """Print the families and their maps, or the sizes of environments whose name contains the given word."""
    given, _ = parse(words, Options(), "mag envs", ("[WORD]",))
    from mag import envs

    specs = envs.specs()
    print("\n".join(sizes(specs, given[0]) if given else overview(specs)))


def overview(names: Iterable[str]) -> Iterator[str]:
    """Every family with its maps."""
    maps = {family: [*TABLE_1] if family == "smac_jax" else [] for family in FAMILIES}
    for family, _, map_name in (name.partition("/") for name in names):
        if map_name not in maps[family]:
            maps[family].append(map_name)
    yield from wrap(TITLE)
    for family, meaning in FAMILIES.items():
        yield from ("", *wrap(f"{family}: {meaning}"), *wrap(" ".join(maps[family]), 4))
    yield from ("", *wrap(SIZES), *wrap(OWN))


def sizes(specs: dict[str, "EnvSpec"], word: str) -> Iterator[str]:
    """A table of the environments whose names contain `word`. Raises UsageError if there are none."""
    order = list(FAMILIES)
    found = sorted((spec for name, spec in specs.items() if word in name), key=lambda spec: order.index(family(spec)))
    if not found:
        near = did_you_mean(word, dict.fromkeys(part for name in specs for part in (*name.split("/"), name)))
        raise UsageError(
            f"no environment's name contains {word!r}{near}; `mag envs` lists all but those in modules of your own, "
            "which `mag train --env MODULE/MAP` finds"
        )
    yield from (*table(found), "", *wrap(COLUMNS))
    if not all(spec.has_wins or not spec.team_reward for spec in found):
        yield from wrap(NO_WINS)
    if not all(spec.team_reward for spec in found):
        yield from wrap(OWN_REWARDS)


def family(spec: "EnvSpec") -> str:
    """The family of an environment."""
    return spec.name.partition("/")[0]


def table(specs: list["EnvSpec"]) -> Iterator[str]:
    """The rows: name, agents, observation, actions and steps."""
    width = max(len(spec.name) for spec in specs)
    yield f"{'':{width}} {'agents':>6} {'obs':>3} {'actions':>7} {'steps':>5}"
    for spec in specs:
        mark = "+" if not spec.team_reward else "" if spec.has_wins else "*"
        yield f"{spec.name:{width}} {spec.n_agents:6} {spec.obs_dim:3} {spec.n_actions:7} {spec.episode_limit:5}{mark}"
