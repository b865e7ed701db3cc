"""All that decides a run's numbers besides its configuration: versions, hardware, source revision, plug-ins."""

import datetime
import hashlib
import importlib.metadata
import importlib.util
import platform
import subprocess
from pathlib import Path
from typing import Any

from mag.algorithms.config import RunConfig
from mag.algorithms.registry import BUILT_IN, planner_of
from mag.planners.config import KINDS
from mag.runtime import own_cores

PACKAGES = (
    "models-as-agents",
    "jax",
    "jaxlib",
    "equinox",
    "optax",
    "flashbax",
    "jaxmarl",
    "numpy",
    "orbax-checkpoint",
)


def surroundings(config: RunConfig | None = None) -> dict[str, Any]:
    """All that decides numbers besides the configuration; with one, also the user's modules that it names, if any."""
    own = {} if config is None else plugins(config)
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "hardware": hardware(),
        "revision": revision(),
    } | ({"plugins": own} if own else {})


def plugins(config: RunConfig) -> dict[str, str]:
    """The user's modules that a configuration names, each with a hash of its file: environment, method, planner."""
    from mag import envs  # loads JAX, which a mistaken folder need not wait for

    named = (envs.own_module(config.env), config.algo, planner_of(config))
    found = {name: importlib.util.find_spec(name) for name in named if name and name not in (*BUILT_IN, *KINDS)}
    files = {name: Path(spec.origin) for name, spec in found.items() if spec and spec.origin}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for name, file in files.items()}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """The machine, and the device that JAX uses: its first."""
    import jax

    device = jax.devices()[0]

    return {
        "system": platform.platform(),
        "cpu": cpu_model(),
        "cores": own_cores(),
        "device": f"{device.platform}: {device.device_kind}",
    }


def cpu_model() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def revision() -> str | None:
    """The source's git commit, with `+changes` where files differ from it; None outside a repository."""
    source = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(source), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "errors.py")
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return None
