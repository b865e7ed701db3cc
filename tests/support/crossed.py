"""What a run's world model makes of another run's policy, beside what really happens.

    python -m tests.support.crossed MODELS_RUN POLICY_RUN [STEPS]

Both runs are of one map of `smac_jax`. From starts of battles the policy plays in the world model of MODELS_RUN: it
sees the decoded observations, and observes them through its own world model. The policy of MODELS_RUN plays there, too,
and both play the real environment. Prints a JSON object for each policy: returns with their standard errors, and
the team's health by time, 1 for each unhurt agent.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mag.algorithms.mag.policy import imagine_action
from mag.learning.parallel import first_seed
from mag.play.episode import arrival
from mag.reports.realism.rollouts import play
from mag.runs.trained import load_run
from mag.runtime import setup
from mag.types import TimeStep

BATTLES = 64
HEALTH = -2
"""The feature of an observation that holds the agent's own health, where units have shields."""
TIMES = (0, 10, 20, 30, 40, 50)


def agent_of(path: str) -> tuple[Any, Any]:
    """The player of a run's first seed and its agent."""
    run = load_run(Path(path))
    algorithm: Any = run.algorithm
    return run.player, first_seed(algorithm.agent(run.state.learner))


def seen(models: Any, key: Any, state: Any, reward: Any) -> TimeStep:
    """A state of the world model as an environment would show it; the dead can only do nothing."""
    alive, no = models.alive(state), jnp.zeros((), bool)
    nothing = jnp.arange(models.spec.n_actions) == 0
    avail = jnp.where(alive[:, None], models.available(key, state) & ~nothing, nothing)
    return TimeStep(models.decode(state) * alive[:, None], avail, alive, reward, no, no, no, no, None)


def imagined(key: Any, env: Any, models: Any, actor: Any, guest: Any, steps: int) -> tuple[Any, Any]:
    """The return and the team's health by time of a battle in `models`, of `guest` or, without one, of `actor`."""
    keys = jax.random.split(key, 3)
    _, shown = env.reset(keys[0])
    shown = shown._replace(state=None)
    state = models.observe(keys[1], models.initial(), arrival(shown, jnp.full(env.spec.n_agents, -1, jnp.int32)))

    def step(carry: tuple, key: Any) -> tuple[tuple, tuple]:
        state, memory, shown, goes_on = carry
        key_act, key_predict, key_see = jax.random.split(key, 3)
        if guest is None:
            action = imagine_action(key_act, actor, models, state).action
        else:
            action, memory = guest.act(key_act, memory, shown, greedy=False)
        after = models.predict(key_predict, state, action)
        outcome = models.outcome(state, after)
        reward = goes_on * outcome.reward.mean()
        goes_on = goes_on * outcome.continues.mean()
        health = shown.obs[:, HEALTH].sum()
        return (after, memory, seen(models, key_see, after, reward), goes_on), (reward, health)

    memory = None if guest is None else guest.initial_carry(keys[1])
    start = (state, memory, shown, jnp.ones(()))
    _, (rewards, health) = jax.lax.scan(step, start, jax.random.split(keys[2], steps))
    return rewards.sum(), health


def real(key: Any, env: Any, agent: Any, steps: int) -> tuple[Any, Any]:
    """The return of a real battle, and the team's health by time."""
    played = play(key, env, agent)
    return played.rewards.sum(), played.arrivals.obs[:steps, :, HEALTH].sum(-1)


def told(found: tuple[Any, Any]) -> dict[str, Any]:
    """Means over battles."""
    returns, health = (np.asarray(each) for each in found)
    return {
        "return": round(float(returns.mean()), 2),
        "standard_error": round(float(returns.std() / len(returns) ** 0.5), 2),
        "health": {time: round(float(health[:, time].mean()), 2) for time in TIMES if time < health.shape[1]},
    }


def main(models_run: str, policy_run: str, steps: str = "100") -> None:
    """Print both policies' results."""
    setup()
    (player, host), (_, guest) = agent_of(models_run), agent_of(policy_run)
    env, keys, count = player.env, jax.random.split(jax.random.key(3), BATTLES), int(steps)
    dream = jax.jit(
        lambda keys, guest: jax.lax.map(lambda key: imagined(key, env, host.models, host.actor, guest, count), keys)
    )
    truth = jax.jit(lambda keys, agent: jax.lax.map(lambda key: real(key, env, agent, count), keys))
    for run, policy, agent in ((models_run, None, host), (policy_run, guest, guest)):
        found = {"imagined": told(dream(keys, policy)), "real": told(truth(keys, agent))}
        print(json.dumps({"models": models_run, "policy_of": run} | found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
