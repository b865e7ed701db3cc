"""Environment steps per second of the player on the host, beside the player in JAX.

    python -m tests.support.host_speed > results/host-player-cpu.json

The trivial environment is `probe/counter` and its NumPy twin; the other is `starcraft/3s_vs_3z` against the stand-in
for the game (`tests.support.starcraft_server`) and `smac_jax/3s_vs_3z`, out of whose battles the stand-in answers. The
agent draws random available actions, so that what is measured is playing.
"""

import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from mag import envs
from mag.learning.parallel import seed_keys
from mag.play.host import HostPlayer
from mag.play.jax_player import JaxPlayer
from mag.runtime import own_cores, setup
from tests.support import host_envs
from tests.support.random_agent import RandomAgent
from tests.support.starcraft_server import install

STEPS = 200
CALLS = 3


def speed(player: Any) -> float:
    """Items of all environments per second, the best of a few calls after a first one."""
    agent, keys = RandomAgent(), seed_keys(0, 1)
    players, played = player.collect(keys, agent, player.start(keys, agent))
    rates = []
    for _ in range(CALLS):
        begin = time.monotonic()
        players, played = player.collect(keys, agent, players)
        jax.block_until_ready(played)
        rates.append(STEPS * player.num_envs / (time.monotonic() - begin))
    player.close()
    return round(max(rates), 1)


def main() -> None:
    """Measure all and print one JSON object."""
    setup()
    folder = Path(tempfile.mkdtemp())
    os.environ["SC2PATH"] = str(install(folder, "3s_vs_3z"))
    rows = []
    for num_envs in (1, 4, 8):
        sizes: dict[str, Any] = {"num_envs": num_envs, "steps": STEPS}
        trivial = envs.make("probe/counter"), host_envs.spec_of("counter")
        battle = envs.make("smac_jax/3s_vs_3z"), envs.spec("starcraft/3s_vs_3z")
        for task, (in_jax, on_host) in {"trivial": trivial, "battle": battle}.items():
            row = {"task": task, "environments": num_envs, "processes": num_envs, "load": os.getloadavg()[0]}
            row["host_steps_per_second"] = speed(HostPlayer(on_host, **sizes))
            row["jax_steps_per_second"] = speed(JaxPlayer(in_jax, **sizes))
            rows.append(row)
    about = {"cores": own_cores(), "python": platform.python_version(), "jax": jax.__version__}
    print(json.dumps({"about": about, "steps_per_call": STEPS, "speeds": rows}, indent=1))


if __name__ == "__main__":
    main()
