"""SMAClite's own observations, masks and state beside ours of the same units, in random battles.

    PYTHONPATH=.:path/to/smaclite python -m tests.support.smaclite_interface --battles 3

Ours are those of `mag.envs.smac_jax.observe` on SMAClite's units and ground. Printed by map: the largest difference of
each part as the package shows it, and as the family `smaclite` does.
"""

import argparse
import dataclasses
import json
from typing import Any

import jax
import numpy as np

from mag import envs
from mag.envs.smac_jax.battle import LOOPS_PER_SECOND
from mag.envs.smac_jax.env import SMAC
from mag.envs.smac_jax.observe import available_actions, observations, world_state
from mag.envs.smaclite import MAPS, SMACliteEnv
from tests.support.smaclite import ScatteredSMAC, as_units, ground_of

Parts = dict[str, np.ndarray]


def parts(env: SMAC, obs: Any, avail: Any, state: Any) -> Parts:
    """Observations, masks and the global state by the kind of their features."""
    layout, avail, state = env.layout, np.asarray(avail, float), np.asarray(state)
    types, count = layout.num_types, layout.num_allies
    obs = np.asarray(obs)
    end = 4 + layout.num_enemies * (5 + layout.enemy_shield + types)
    seen = obs[:, 4:end].reshape(count, layout.num_enemies, -1)
    allies, rest = np.split(state, [count * (4 + layout.ally_shield + types)])
    enemies, last = np.split(rest, [layout.num_enemies * (3 + layout.enemy_shield + types)])
    known = 3 + layout.enemy_shield
    allies, enemies = allies.reshape(count, -1), enemies.reshape(layout.num_enemies, -1)
    return {
        "masks": avail,
        "obs": np.concatenate([obs[:, :4], seen[..., : 5 + layout.enemy_shield].reshape(count, -1), obs[:, end:]], 1),
        "obs: enemies' types": seen[..., 5 + layout.enemy_shield :],
        "state: cooldowns": allies[:, 1],
        "state: the rest": np.concatenate([np.delete(allies, 1, 1).ravel(), enemies[:, :known].ravel()]),
        "state: enemies' types": enemies[:, known:],
        "state: last actions": last,
    }


def ours(env: SMAC, theirs: Any, last: np.ndarray) -> Parts:
    """What SMAC shows of SMAClite's units."""
    units = as_units(env, theirs)
    avail = available_actions(env.battle, units)
    return parts(
        env,
        observations(env.battle, env.layout, units, avail),
        avail,
        world_state(env.battle, env.layout, units, last),
    )


def compare(name: str, battles: int) -> dict[str, Any]:
    """The largest differences of one map's parts, and the share of masks that differ."""
    view = envs.make(f"smaclite/{name}")
    assert isinstance(view, SMACliteEnv)
    theirs = view.view.inner
    env = ScatteredSMAC(ground_of(theirs), collide=True)
    env.battle = dataclasses.replace(
        env.battle, ticks_per_second=LOOPS_PER_SECOND
    )  # SMAC's, by which it shows cooldowns
    rng = np.random.default_rng(0)
    worst: dict[str, list[float]] = {}
    steps = wrong_masks = masks = 0
    for seed in range(battles):
        shown, last = view.reset(seed), np.full(view.spec.n_agents, -1)
        while not (shown.terminated or shown.truncated):
            right = ours(env, theirs, last)
            package = parts(env, np.array(theirs.get_obs()), theirs.get_avail_actions(), theirs.get_state())
            family = parts(env, shown.obs, shown.avail, shown.state)
            for part, values in right.items():
                both = [float(np.abs(each[part] - values).max(initial=0)) for each in (package, family)]
                worst[part] = np.maximum(worst.get(part, [0.0, 0.0]), both).tolist()
            wrong_masks, masks = wrong_masks + int((family["masks"] != right["masks"]).sum()), masks + shown.avail.size
            last = np.array([rng.choice(np.flatnonzero(mask)) for mask in shown.avail])
            shown, steps = view.step(last), steps + 1
    view.close()
    rounded = {part: [round(value, 6) for value in both] for part, both in worst.items()}
    return {"steps": steps, "masks": masks, "masks that differ": wrong_masks, "package, family": rounded}


def main() -> None:
    """Compare all maps and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.smaclite_interface", description=__doc__)
    parser.add_argument("--battles", type=int, default=3)
    parser.add_argument("maps", nargs="*", default=MAPS)
    options = parser.parse_args()
    for name in options.maps:
        print(json.dumps({"map": name} | compare(name, options.battles)), flush=True)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main()
