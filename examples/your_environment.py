"""An environment of your own: a module with `specs` and `make`, whose import path is the family's name.

    python -m examples.your_environment
    python -m mag train --env examples.your_environment/ring-8

Two agents try to meet on a ring of places: each sees both agents' places, and moves left, stays or moves right.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

import mag
from mag.envs import EnvSpec
from mag.types import TimeStep

SIZES = {"ring-5": 5, "ring-8": 8}


class State(NamedTuple):
    """An episode under way."""

    place: Int[Array, " agents"]
    time: Int[Array, ""]


class Ring:
    """The team wins a reward of 1 when both agents stand on one place, and the episode ends."""

    def __init__(self, name: str) -> None:
        self.size = SIZES[name]
        self.spec = EnvSpec(
            name=f"examples.your_environment/{name}",
            n_agents=2,
            obs_dim=2 * self.size,
            state_dim=None,
            n_actions=3,
            episode_limit=10,
            has_masks=False,
            has_wins=True,
        )

    def reset(self, key: PRNGKeyArray) -> tuple[State, TimeStep]:
        """Two different places, drawn at random. The key is consumed."""
        place = jax.random.permutation(key, self.size)[:2].astype(jnp.int32)
        state = State(place, jnp.zeros((), jnp.int32))
        return state, self.show(state)

    def step(self, key: PRNGKeyArray, state: State, action: Int[Array, " agents"]) -> tuple[State, TimeStep]:
        """Both agents move: action 0 left, 1 not at all, 2 right."""
        state = State((state.place + action - 1) % self.size, state.time + 1)
        return state, self.show(state)

    def show(self, state: State) -> TimeStep:
        """What the agents see, what they may do, the team's reward, and whether and why the episode ends."""
        met: Bool[Array, ""] = state.place[0] == state.place[1]
        seen: Float[Array, " obs"] = jax.nn.one_hot(state.place, self.size).ravel()
        return TimeStep(
            obs=jnp.tile(seen, (2, 1)),
            avail=jnp.ones((2, 3), bool),
            alive=jnp.ones(2, bool),
            reward=met.astype(jnp.float32),
            first=state.time == 0,
            terminated=met,
            truncated=~met & (state.time == self.spec.episode_limit),
            won=met,
            state=None,
        )


def specs() -> dict[str, EnvSpec]:
    """The sizes of every map."""
    return {name: Ring(name).spec for name in SIZES}


def make(map_name: str) -> Ring:
    """The environment of a map."""
    return Ring(map_name)


if __name__ == "__main__":
    ring = "examples.your_environment/ring-5"
    summary = mag.train(env=ring, algo="attention-ppo", size="debug", run="runs/your-environment")
    print(f"trained for {summary['env_steps']} steps in an environment of one's own")
