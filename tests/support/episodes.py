"""A check for any environment: an episode follows from its key, under scan and vmap as step by step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mag.envs import Env
from mag.runtime import compile_options


def check_same_key_same_episode(env: Env, reset: Callable[..., Any], step: Callable[..., Any], *, steps: int) -> None:
    """Plays three random episodes, two of them of the same key; `reset` and `step` are the environment's, jitted."""

    def one_step(carry, key):
        state, time_step = carry
        key_act, key_step = jax.random.split(key)
        action = jax.random.categorical(key_act, jnp.where(time_step.avail, 0.0, -jnp.inf))
        carry = env.step(key_step, state, action)
        return carry, (action, carry[1])

    def episode(key):
        key_reset, key_play = jax.random.split(key)
        return jax.lax.scan(one_step, env.reset(key_reset), jax.random.split(key_play, steps))[1]

    keys = jax.random.key(7), jax.random.key(7), jax.random.key(8)
    actions, played = jax.jit(jax.vmap(episode), compiler_options=compile_options())(jnp.stack(keys))
    assert all(bool((leaf[0] == leaf[1]).all()) for leaf in jax.tree.leaves(played))
    assert not bool((played.obs[0] == played.obs[2]).all())
    # No illegal actions, and the same episode step by step.
    key_reset, key_play = jax.random.split(keys[0])
    state, time_step = reset(key_reset)
    for time, key in enumerate(jax.random.split(key_play, steps)):
        assert bool(jnp.take_along_axis(time_step.avail, actions[0, time][:, None], 1).all())
        state, time_step = step(jax.random.split(key)[1], state, actions[0, time])
        np.testing.assert_allclose(time_step.obs, played.obs[0, time], atol=1e-5)
