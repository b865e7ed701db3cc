"""How much of an action's effect a world model foresees, by steps ahead, beside the simulator.

    python -m tests.support.effects RUN [UPDATES[ OPTION=VALUE,...] ...]

RUN is of `tests.support.perfect`, whose policy and D_e are taken. From each of `STARTS` states of D_e the first agent
takes each of its actions and the others the same actions throughout; then all act by the policy, in the simulator. The
models predict under the very same actions. The effect of an action on a number is the number's mean over `SAMPLES`
rollouts less the policy's mean over the actions. Measured are RUN's local models and, for each variant, models fitted
to its D_e from scratch with so many updates. Prints a JSON object for each, with, by steps ahead,

- `obs`: the slope of predicted on real effects on the joint observation, all features together (1 where every effect is
  foreseen whole, 0 where none is), and their correlation;
- `reward`: the same of the discounted reward up to then.

Both are without the samples' noise.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mag.algorithms.mag.policy import imagine_action
from mag.algorithms.mag.rollout import start_states
from mag.learning.parallel import first_seed
from mag.runs.trained import Trained, load_seed
from mag.runtime import compile_options, setup
from tests.support import exploited, perfect
from tests.support.exploited import local
from tests.support.nearest import fitted

STEPS, STARTS, SAMPLES = (1, 3, 8), 144, 16
"""Steps ahead, start states, and rollouts of each action."""


class Found(NamedTuple):
    """What rollouts bring, by steps ahead."""

    reward: Any
    """Discounted reward up to then, `[..., steps]`."""
    obs: Any
    """The joint observation, `[..., steps, features]`."""


class Battles(NamedTuple):
    """What the first agent's actions bring in the simulator, for each start, action and sample."""

    windows: Any
    """The real steps that lead to the starts, `[starts, time, ...]`."""
    chance: Any
    """The policy's probabilities of the first agent's actions, `[starts, actions]`."""
    actions: Any
    """Joint actions, `[starts, actions, samples, steps, agents]`."""
    found: Found


def shown(obs: Any, alive: Any) -> Any:
    """A joint observation in one row; the dead observe nothing."""
    return jnp.where(alive[:, None], obs, 0).ravel()


def of_each(one: Callable[..., Any], starts: Any, each: Any) -> Any:
    """`one(key, start, ...)` for each start, action and sample; `each`: what differs, `[starts, actions, samples]`."""

    def of_start(inputs: Any) -> Any:
        key, start, each = inputs
        keys = jax.random.split(key, each.shape[:2])
        return jax.lax.map(lambda inputs: jax.vmap(lambda key, x: one(key, start, x))(*inputs), (keys, each))

    def of_all(starts: Any, each: Any) -> Any:
        return jax.lax.map(of_start, (jax.random.split(jax.random.key(9), len(each)), starts, each), batch_size=8)

    return jax.jit(of_all, compiler_options=compile_options())(starts, each)


def in_simulator(run: Trained) -> Battles:
    """Every action of the first agent, in the simulator, from start states in which it has more than two."""
    learner: Any = run.state.learner
    algorithm: Any = run.algorithm
    simulator, actor = first_seed(learner.models.weights), first_seed(learner.policy.actor.params)
    env, gamma = perfect.make(run.player.spec.name.rpartition("/")[2]), algorithm.config.ppo.gamma
    windows = algorithm.start_replay.sample(first_seed(learner.data), jax.random.key(3)).experience
    windows = jax.tree.map(lambda x: x[:STARTS], windows)
    starts = start_states(jax.random.key(4), simulator, windows, slice(algorithm.config.rollout.burn_in, None))
    open_ = np.asarray(starts.alive[:, 0] & (starts.avail[:, 0].sum(-1) > 2))
    windows, starts = (jax.tree.map(lambda x: x[open_], each) for each in (windows, starts))
    logits = jnp.where(starts.avail, jax.vmap(actor)(local(starts)), -jnp.inf)

    def one(key: Any, start: Any, action: Any) -> Any:
        def step(carry: Any, key: Any) -> Any:
            state, action, total, weight = carry
            key_predict, key_act = jax.random.split(key)
            after = simulator.predict(key_predict, state, action)
            obs = env.step_flat(jax.random.split(key_predict)[0], state.battle, action)[1].obs
            total += weight * simulator.outcome(state, after).reward.mean()
            carry = after, imagine_action(key_act, actor, simulator, after).action, total, weight * gamma
            return carry, (action, Found(total, shown(obs, after.alive)))

        first = start, action, jnp.zeros(()), jnp.ones(())
        return jax.lax.scan(step, first, jax.random.split(key, max(STEPS)))[1]

    count = logits.shape[-1]
    joint = jax.random.categorical(jax.random.key(11), logits)[:, None, None]
    joint = jnp.tile(joint, (1, count, SAMPLES, 1)).at[..., 0].set(jnp.arange(count)[:, None])
    actions, found = of_each(one, starts, joint)
    return Battles(windows._replace(state=None), jax.nn.softmax(logits[:, 0]), actions, found)


def predicted_by(models: Any, battles: Battles, burn_in: int, gamma: float) -> Found:
    """What the models predict under the battles' actions, from the same real steps."""

    def one(key: Any, start: Any, actions: Any) -> Any:
        def step(carry: Any, inputs: Any) -> Any:
            (state, total, weight), (key, action) = carry, inputs
            after = models.predict(key, state, action)
            outcome = models.outcome(state, after)
            total += weight * outcome.reward.mean()
            carry = after, total, weight * gamma * outcome.continues.mean()
            return carry, Found(total, shown(models.decode(after), after.alive))

        first = start, jnp.zeros(()), jnp.ones(())
        return jax.lax.scan(step, first, (jax.random.split(key, max(STEPS)), actions))[1]

    starts = jax.jit(lambda windows: start_states(jax.random.key(4), models, windows, slice(burn_in, None)))
    return of_each(one, starts(battles.windows), battles.actions)


def foreseen(predicted: Any, real: Any, chance: Any) -> tuple[float, float]:
    """Slope of predicted on real effects, and their correlation, from `[starts, actions, samples, ...]`."""

    def effects(samples: Any) -> np.ndarray:
        mean = np.asarray(samples, np.float64).mean(2)
        weights = np.asarray(chance).reshape(*chance.shape, *[1] * (mean.ndim - 2))
        return np.where(weights > 0, mean - (weights * mean).sum(1, keepdims=True), 0)

    half = real.shape[2] // 2
    (a, b), (c, d) = ((effects(x[:, :, :half]), effects(x[:, :, half:])) for x in (predicted, real))
    both, one, other = ((a + b) * (c + d)).sum() / 4, (a * b).sum(), (c * d).sum()
    return float(both / other), float(both / np.sqrt(max(one, 1e-12) * other))


def row(predicted: Found, battles: Battles) -> dict[str, dict[int, list[float]]]:
    """The figures of one world model."""
    pairs = {name: (getattr(predicted, name), getattr(battles.found, name)) for name in ("obs", "reward")}
    return {
        name: {
            ahead: [round(each, 3) for each in foreseen(x[:, :, :, ahead - 1], y[:, :, :, ahead - 1], battles.chance)]
            for ahead in STEPS
        }
        for name, (x, y) in pairs.items()
    }


def main(path: str, *variants: str) -> None:
    """Print the figures of the run's models and of each variant."""
    setup()
    run = load_seed(Path(path))
    config: Any = run.algorithm.config
    battles = in_simulator(run)
    _, models, data = exploited.in_models(run, {})
    for variant in ("", *variants):
        updates, _, changes = variant.partition(" ")
        found = fitted(run, changes, run.player.spec, data, int(updates)) if updates else first_seed(models)
        predicted = predicted_by(found, battles, config.rollout.burn_in, config.ppo.gamma)
        print(json.dumps({"variant": variant} | row(predicted, battles)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
