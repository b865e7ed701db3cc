"""`tests.support.fake` with a world model of its own (`--algo tests.support.dreamer`)."""

from typing import Any

import jax.numpy as jnp

from mag.algorithms.contract import Imagination
from mag.algorithms.method import Method
from tests.support.fake import FakeAlgorithm, FakeConfig

NAME = "tests.support.dreamer"


class Dreamer(FakeAlgorithm):
    """Imagines that it sees the units 2 away, a reward of 1 a step, and the end at step 4."""

    def can_learn(self, state: Any) -> bool:
        return True

    def draw_sequences(self, key: Any, state: Any) -> Any:
        raise AssertionError("battles are watched as they were played")

    def imagine(self, key: Any, state: Any, episode: Any, *, observed: int) -> Imagination:
        time = jnp.arange(len(episode.first))
        return Imagination(
            obs=jnp.full_like(episode.obs, 2.0),
            reward=jnp.ones(len(time)),
            continues=jnp.where(time == 4, 0.0, 1.0),
            error=0.25 * time,
            one_step=jnp.ones(len(time)),
        )


METHOD = Method("dreamer", FakeConfig, Dreamer)
