"""What a run's world model foresees of another run's real play, step by step.

    python -m tests.support.foreseen MODELS_RUN POLICY_RUN [BATTLES]

Both runs are of one map of `smac_jax`. The policy plays real battles, drawing its actions. The world model of
MODELS_RUN observes each battle up to some step and from there predicts under the real joint actions. Prints a JSON
object for each period of the battles and number of steps ahead: health and shields that the team loses and the reward
that it earns from the step on, foreseen and real, and the error of the health that the world model decodes at the step
itself, having observed it.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mag.reports.realism.rollouts import play
from mag.runtime import compile_options, setup
from tests.support.crossed import HEALTH, agent_of

AHEAD = 15
TIMES = 60
"""The steps from which predictions start are those before this one."""
PERIODS = ((0, 10), (10, 20), (20, 30), (30, 40), (40, 60))
STEPS = (1, 3, 5, 10, 15)


def health_of(obs: Any) -> Any:
    """The team's health and shields, 2 for each unhurt agent."""
    return obs[..., HEALTH:].sum((-2, -1))


def foresee(key: Any, env: Any, models: Any, agent: Any) -> dict[str, Any]:
    """One battle: what is lost and earned after each number of steps, from each step, `[time, ahead]`."""
    key_play, key_models = jax.random.split(key)
    played = play(key_play, env, agent)
    keys = jax.random.split(key_models, TIMES + AHEAD + 1)
    seen = jax.tree.map(lambda x: x[: len(keys)], played.arrivals)

    def observe(state: Any, inputs: tuple) -> tuple[Any, Any]:
        state = models.observe(inputs[0], state, inputs[1])
        return state, state

    _, states = jax.lax.scan(observe, models.initial(), (keys, seen))

    def predicted(time: Any) -> tuple[Any, Any]:
        def step(state: Any, ahead: Any) -> tuple[Any, tuple]:
            key = jax.random.fold_in(keys[time], ahead)
            after = models.predict(key, state, seen.previous_action[time + ahead])
            health = health_of(models.decode(after) * models.alive(after)[:, None])
            return after, (health, models.outcome(state, after).reward.mean())

        start = jax.tree.map(lambda x: x[time], states)
        return jax.lax.scan(step, start, 1 + jnp.arange(AHEAD))[1]

    health, reward = jax.vmap(predicted)(jnp.arange(TIMES))
    later = 1 + jnp.arange(TIMES)[:, None] + jnp.arange(AHEAD)
    real, now = health_of(seen.obs), health_of(seen.obs)[:TIMES, None]
    decoded = health_of(jax.vmap(models.decode)(states) * seen.alive[..., None])
    return {
        "lost": now - health,
        "lost_really": now - real[later],
        "reward": jnp.cumsum(reward, 1),
        "reward_really": jnp.cumsum(played.rewards[later], 1),
        "error_now": jnp.broadcast_to(jnp.abs(decoded - real)[:TIMES, None], later.shape),
        "counts": ~played.over[later],
    }


def foreseeing(env: Any, battles: int) -> Callable[[Any, Any], dict[str, Any]]:
    """A compiled function of a world model and an agent: `foresee` in so many battles, `[battles, time, ahead]`."""

    def all_battles(keys: Any, models: Any, agent: Any) -> dict[str, Any]:
        return jax.lax.map(lambda key: foresee(key, env, models, agent), keys)

    keys = jax.random.split(jax.random.key(5), battles)
    compiled = jax.jit(all_battles, compiler_options=compile_options())
    return lambda models, agent: jax.tree.map(np.asarray, compiled(keys, models, agent))


def main(models_run: str, policy_run: str, battles: str = "96") -> None:
    """Print what is foreseen beside what happens."""
    setup()
    (player, host), (_, guest) = agent_of(models_run), agent_of(policy_run)
    found = foreseeing(player.env, int(battles))(host.models, guest)
    counts = found.pop("counts")
    for begin, end in PERIODS:
        for ahead in STEPS:
            here = counts[:, begin:end, ahead - 1]
            row = {name: (x[:, begin:end, ahead - 1] * here).sum() / here.sum() for name, x in found.items()}
            rounded = {name: round(float(value), 3) for name, value in row.items()}
            print(json.dumps({"from": begin, "to": end, "ahead": ahead} | rounded), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
