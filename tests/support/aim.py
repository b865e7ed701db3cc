"""Whether a world model knows on 2c_vs_64zg where a Colossus has to aim.

    python -m tests.support.aim RUN SHOWN [OPTION=VALUE,... ...]

The run is of `smac_jax/2c_vs_64zg` with `collect.nearest_first`. The world model observes windows of D_e's newest
steps; from each posterior, all that the actor sees, the positions of the agent's eight nearest enemies are decoded.
Prints a JSON object, over agents that see eight enemies or more, the nearest within 3 map units:

- `position_error`: root mean square error of a coordinate in map units, nearest enemy first;
- `swept_at_best`, `swept_decoded`, `swept_nearest`: how many of the eight a beam sweeps that is aimed at the best of
  them, at the best by the decoded positions (ties go to the nearer one), and at the nearest.

With options, even "" for none, world models with these are fitted to the run's D_e from scratch, as if agents were
shown their SHOWN nearest enemies only, and measured in place of the run's own.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mag.envs.smac_jax.battle import start_units
from mag.envs.smac_jax.combat import sweeps
from mag.envs.smac_jax.observe import SIGHT_RANGE
from mag.learning.parallel import first_seed
from mag.play.tournament import battles_on
from mag.runs.trained import load_run
from mag.runtime import setup
from tests.support.nearest import BURN_IN, decoded_sequences, fitted

COUNT = 8
NEAR = 3.0
"""Distance of the nearest enemy below which the agent is in combat."""
UPDATES = 1024
"""Updates of models fitted anew."""


def positions(spec: Any, obs: Any) -> np.ndarray:
    """Vectors in map units from each agent to its nearest enemies, `[..., COUNT, 2]`; (0, 0) for those not seen."""
    enemies = spec.enemies
    part = np.asarray(obs)[..., enemies.first_feature :][..., : COUNT * enemies.features]
    part = part.reshape(*part.shape[:-1], COUNT, enemies.features)
    return SIGHT_RANGE * part[..., enemies.offset : enemies.offset + 2]


@jax.jit
def swept(position: Any) -> Any:
    """How many of the enemies at `position` a beam sweeps that is aimed at each, `[observations, COUNT]`."""
    battle = battles_on("2c_vs_64zg").battle
    units, first = start_units(battle), battle.num_allies
    units = units._replace(health=units.health.at[first + COUNT :].set(0))

    def one(position: Any) -> Any:
        places = units.position.at[0].set(0).at[first : first + COUNT].set(position)
        return sweeps(battle, units._replace(position=places))[0, :COUNT]

    return jax.vmap(one)(position)


def summary(true: np.ndarray, decoded: np.ndarray) -> dict[str, Any]:
    """The figures above, from positions `[..., COUNT, 2]`."""
    distance = np.linalg.norm(true, axis=-1)
    fights = (distance > 0).all(-1) & (distance[..., 0] < NEAR)
    true, decoded, hits = true[fights], decoded[fights], np.asarray(swept(true[fights]))
    guess = (np.asarray(swept(decoded)) - 0.1 * np.linalg.norm(decoded, axis=-1)).argmax(-1)
    return {
        "observations": len(true),
        "position_error": np.sqrt(np.square(true - decoded).mean((0, 2), dtype=float)).round(2).tolist(),
        "swept_at_best": round(float(hits.max(-1).mean()), 2),
        "swept_decoded": round(float(np.take_along_axis(hits, guess[:, None], -1).mean()), 2),
        "swept_nearest": round(float(hits[:, 0].mean()), 2),
    }


def measure(models: Any, data: Any, spec: Any) -> dict[str, Any]:
    """The figures of a world model on D_e."""
    sequences, decoded = decoded_sequences(models, data)
    true, guessed = (positions(spec, obs)[:, BURN_IN:] for obs in (sequences.obs, decoded))
    return summary(true, guessed)


def shown(spec: Any, data: Any, count: int) -> tuple[Any, Any]:
    """The spec and D_e, with a leading seed axis, of agents that are shown their `count` nearest enemies only."""
    enemies, experience = spec.enemies, data.experience
    first, end = (enemies.first_feature + each * enemies.features for each in (count, enemies.count))
    actions = enemies.first_action + count
    experience = experience._replace(
        obs=np.delete(experience.obs, np.s_[first:end], -1),
        avail=experience.avail[..., :actions],
        previous_action=np.minimum(experience.previous_action, actions - 1),
    )
    enemies = dataclasses.replace(enemies, count=count)
    spec = dataclasses.replace(spec, obs_dim=experience.obs.shape[-1], n_actions=actions, enemies=enemies)
    return spec, jax.device_put(dataclasses.replace(data, experience=experience))


def main(run: str, count: str, *changes: str) -> None:
    """Print the figures of a run's world model, or of others fitted anew to its D_e."""
    setup()
    trained = load_run(Path(run))
    spec, learner = trained.player.spec, trained.state.learner
    if not spec.nearest_first:
        raise SystemExit(f"{run} was trained without collect.nearest_first")
    if not changes:
        learner = first_seed(learner)
        print(json.dumps(measure(learner.models.weights, learner.data, spec)))
    for change in changes:
        seen, data = shown(spec, learner.data, int(count))
        models = fitted(trained, change, seen, data, UPDATES)
        figures = measure(models, first_seed(data), seen)
        print(json.dumps({"shown": int(count), "options": change} | figures), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
