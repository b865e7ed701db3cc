"""`mag envs`: the environments, the paper's maps first."""

from dataclasses import dataclass

from mag import envs
from mag.cli.parsing import parse
from mag.envs import EnvSpec
from mag.errors import UsageError

PAPER = "smac_jax/"
"""The family with the paper's maps."""
OWN = """Your own: smac_jax/FILE.toml, a map in a file, or my_package.my_module/MAP,
a module with `specs` and `make`."""


@dataclass(frozen=True)
class Options:
    """List the environments; with FILTER those whose name contains it, such as `mag envs smax`."""


def run(words: list[str]) -> None:
    """Print one line for each environment."""
    filters = [word for word in words if not word.startswith("-")]
    parse([word for word in words if word not in filters], Options(), "mag envs", ())
    if len(filters) > 1:
        raise UsageError(f"{filters[1]!r} is one word too many; the command is `mag envs FILTER`")
    wanted = filters[0] if filters else ""
    found = [spec for name, spec in envs.specs().items() if wanted in name]
    if not found:
        raise UsageError(f"no environment's name contains {wanted!r}; `mag envs` lists all")
    width = max(len(spec.name) for spec in found)
    print(f"{'':{width}} agents   obs actions steps")
    for spec in sorted(found, key=lambda spec: not spec.name.startswith(PAPER)):
        print(row(spec, width))
    print("* has no wins")
    print(OWN)


def row(spec: EnvSpec, width: int) -> str:
    """One environment in a line."""
    mark = "" if spec.has_wins else " *"
    return f"{spec.name:{width}} {spec.n_agents:6} {spec.obs_dim:5} {spec.n_actions:7} {spec.episode_limit:5}{mark}"
