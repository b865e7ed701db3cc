"""Training, loading and acting from Python.

    python -m examples.train_and_act

The script may be stopped and started again at any time: a run is a folder, and training goes on where it was.
"""

import jax
import jax.numpy as jnp

import mag
from mag.envs import Env
from mag.runs.api import Policy

ENV, RUN = "probe/one-step", "runs/train-and-act"


def play(policy: Policy, env: Env, seed: int) -> float:
    """The return of one episode."""
    key_reset, key = jax.random.split(jax.random.key(seed))
    state, shown = env.reset(key_reset)
    step, returns = jax.jit(env.step), 0.0
    while not (shown.terminated or shown.truncated):
        key, key_step = jax.random.split(key)
        action = policy.act(shown)  # or policy.act(observations, available, first=True), with arrays of your own
        state, shown = step(key_step, state, jnp.asarray(action))
        returns += float(shown.reward)
    return returns


if __name__ == "__main__":
    collect = {"num_envs": 32, "steps": 32}
    mag.train(env=ENV, algo="attention-ppo", size="debug", steps=30_000, seed=1, run=RUN, collect=collect)
    policy, env = mag.load(RUN), mag.make(ENV)
    returns = [play(policy, env, seed) for seed in range(10)]
    print(f"mean return of {len(returns)} episodes: {sum(returns) / len(returns):.2f}")
