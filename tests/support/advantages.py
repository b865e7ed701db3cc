"""How well a world model tells which action is better, by steps ahead, beside the simulator.

    python -m tests.support.advantages RUN [OPTION=VALUE,... ...]

RUN is of `tests.support.perfect`, whose policy, critic, local models and D_e are taken. From each of `STARTS` states of
D_e the first agent takes each of its actions and the others the same actions throughout; then all act by the policy.
What an action is worth is the discounted reward up to some step and the critic's value of the state there, mean of
`SAMPLES` rollouts; its advantage is that less the policy's mean. Rollouts are the models' own and, for each set of
options, planned (`planner.kind` first; R_m hat is fitted afresh). Prints a JSON object for each number of steps:

- `correlation` of the advantages in the models with those in the simulator, without the noise of the samples, and its
  error over the start states (half of the interval that holds 68 % of resamples);
- `gain`: how much better than the policy's mean the models' favourite action is in the simulator, and `possible`: the
  same of the simulator's own favourite, chosen by half of the samples and judged by the other half.
"""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mag.algorithms.mag.algorithm import FITS_TO_MEASURE, MAG
from mag.algorithms.mag.policy import imagine_action
from mag.algorithms.mag.rollout import start_states
from mag.learning.parallel import first_seed, seed_keys
from mag.options import override
from mag.planners.config import planner_config
from mag.runs.trained import Trained, load_seed
from mag.runtime import compile_options, setup
from tests.support.exploited import in_models, local
from tests.support.nearest import options_in

STEPS, STARTS, SAMPLES, RESAMPLES = (1, 3, 8), 144, 16, 200
"""Steps ahead, start states, rollouts of each action, and bootstrap samples of the start states."""


def planned_predict(algorithm: MAG, models: Any, actor: Any, data: Any, changes: str) -> Any:
    """The prediction of rollouts with these options, planned with a model reward fitted afresh."""
    options = options_in(changes)
    kind = options.pop("planner.kind", "none")
    if kind == "none":
        return first_seed(models).predict
    config: Any = dataclasses.replace(algorithm.config, algo="mag", planner=planner_config(kind))
    planning = MAG(override(config, options), algorithm.spec)
    fitted = planning.init_model_reward(seed_keys(6, 1), models)
    for key in jax.random.split(jax.random.key(7), FITS_TO_MEASURE):
        fitted, _ = planning.fit_model_reward(key[None], fitted, models, data)
    return planning.rollout_predict(first_seed(models), first_seed(fitted.params), actor)


def worths(run: Trained, models: Any, predict: Any, starts: Any, first: Any, steps: int, gamma: float) -> Any:
    """What the first agent's actions are worth, `[starts, actions, samples]`, by `predict`; `first` is the joint action
    whose first element is replaced."""
    learner: Any = run.state.learner
    actor, critic = (first_seed(part.params) for part in (learner.policy.actor, learner.policy.critic))
    actions = run.player.spec.n_actions

    def worth(key: Any, state: Any, action: Any) -> Any:
        total, weight = jnp.zeros(()), jnp.ones(())
        for each in jax.random.split(key, steps):
            key_predict, key_act = jax.random.split(each)
            after = predict(key_predict, state, action)
            outcome = models.outcome(state, after)
            total += weight * outcome.reward.mean()
            weight *= gamma * outcome.continues.mean()
            state, action = after, imagine_action(key_act, actor, models, after).action
        return total + weight * critic(local(state)).mean()

    def of_start(inputs: tuple[Any, Any, Any]) -> Any:
        key, state, others = inputs
        keys = jax.random.split(key, SAMPLES)

        def of_action(action: Any) -> Any:
            return jax.vmap(lambda key: worth(key, state, others.at[0].set(action)))(keys)

        return jax.lax.map(of_action, jnp.arange(actions))

    def of_all(starts: Any, first: Any) -> Any:
        return jax.lax.map(of_start, (jax.random.split(jax.random.key(9), STARTS), starts, first), batch_size=8)

    return np.asarray(jax.jit(of_all, compiler_options=compile_options())(starts, first))


def summary(own: np.ndarray, real: np.ndarray, chance: np.ndarray) -> dict[str, float]:
    """The figures, from worths `[starts, actions, samples]` and the policy's probabilities `[starts, actions]`."""
    half = own.shape[-1] // 2

    def advantages(samples: np.ndarray) -> np.ndarray:
        mean = samples.mean(-1)
        return np.where(chance > 0, mean - (mean * chance).sum(-1, keepdims=True), 0)

    a, b = advantages(own[..., :half]), advantages(own[..., half:])
    c, d = advantages(real[..., :half]), advantages(real[..., half:])
    cross = ((a + b) * (c + d)).sum(-1) / 4
    products = np.stack([cross, (a * b).sum(-1), (c * d).sum(-1)])

    def correlation(products: np.ndarray) -> float:
        both, one, other = products.mean(-1)
        return float(both / np.sqrt(max(one, 1e-9) * max(other, 1e-9)))

    def favourite(choosing: np.ndarray, judged: np.ndarray) -> float:
        best = np.where(chance > 0, choosing, -np.inf).argmax(-1)
        return float(np.take_along_axis(judged, best[:, None], 1).mean())

    again = np.random.default_rng(0).integers(len(own), size=(RESAMPLES, len(own)))
    # Not their standard deviation: where advantages are all noise in some resample, there is no correlation.
    low, high = np.quantile([correlation(products[:, rows]) for rows in again], [0.16, 0.84])
    return {
        "correlation": correlation(products),
        "error": float(high - low) / 2,
        "gain": favourite(a + b, (c + d) / 2),
        "possible": (favourite(c, d) + favourite(d, c)) / 2,
    }


def main(path: str, *variants: str) -> None:
    """Print the figures."""
    setup()
    run = load_seed(Path(path))
    learner: Any = run.state.learner
    with_battles: Any = run.algorithm
    algorithm, models, data = in_models(run, {})
    simulator, plain = first_seed(learner.models.weights), first_seed(models)
    actor = first_seed(learner.policy.actor.params)
    windows = with_battles.start_replay.sample(first_seed(learner.data), jax.random.key(3)).experience
    positions = slice(algorithm.config.rollout.burn_in, None)
    shown = jax.tree.map(lambda x: x[:STARTS], start_states(jax.random.key(4), simulator, windows, positions))
    starts = local(shown)
    first = jax.vmap(lambda key, state: imagine_action(key, actor, plain, state).action)(
        jax.random.split(jax.random.key(11), STARTS), starts
    )
    avail = np.asarray(shown.avail)[:, 0]
    logits = np.where(avail, np.asarray(jax.vmap(actor)(starts))[:, 0], -np.inf)
    chance = np.asarray(jax.nn.softmax(logits))
    open_ = np.asarray(shown.alive)[:, 0] & (avail.sum(-1) > 2)
    gamma = algorithm.config.ppo.gamma
    real = {n: worths(run, simulator, simulator.predict, shown, first, n, gamma) for n in STEPS}
    for changes in ("", *variants):
        predict: Callable[..., Any] = planned_predict(algorithm, models, actor, data, changes)
        for n in STEPS:
            own = worths(run, plain, predict, starts, first, n, gamma)
            found = summary(own[open_], real[n][open_], chance[open_])
            rounded = {name: round(value, 3) for name, value in found.items()}
            print(json.dumps({"options": changes, "steps": n, "starts": int(open_.sum())} | rounded), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
