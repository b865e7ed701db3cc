"""A family of environments for tests of everything around the algorithms: a game of two agents that see one number.

| map | what is special |
|---|---|
| `drawn_length` | ends after 1 to 6 steps, as drawn at the start |
| `four_steps` | ends after 4 steps, so that an episode is six items, four of them transitions |
| `winless` | `four_steps` without wins |
| `unlike` | `four_steps` that pays NaN where the two agents act differently |
| `infinite` | `four_steps` whose last step pays infinity |
| `endless` | never ends before the time limit of 6 steps, and does not say so there |
| `PATH.toml` | episodes of as many steps as the file says: `length = 5` |
| `duel`, `endless_duel` | `drawn_length`, and a battle that the time limit cuts, with a view |

Each step pays the mean action; an episode is won if more than 3 steps were drawn.
"""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from mag.envs import EnvSpec
from mag.envs.view import NOBODY, Frame, Kind, Scene, Sight
from mag.types import TimeStep

LIMIT = 6
FAMILY = "tests.support.fake_env"


class State(NamedTuple):
    """An episode under way."""

    left: Int[Array, ""]
    """Steps until the end."""
    played: Int[Array, ""]
    drawn: Int[Array, ""]
    """From 1 to 6: the length of the episode, in maps where it varies."""


class FakeEnv:
    """`drawn_length`."""

    name = "drawn_length"
    length: int | None = None
    """Steps of every episode; None where they are drawn."""
    has_wins = True

    @classmethod
    def of_file(cls, name: str, length: int) -> "FakeEnv":
        made = cls()
        made.name, made.length = name, length
        return made

    @property
    def spec(self) -> EnvSpec:
        return EnvSpec(
            name=f"{FAMILY}/{self.name}",
            n_agents=2,
            obs_dim=1,
            state_dim=None,
            n_actions=3,
            episode_limit=LIMIT,
            has_masks=False,
            has_wins=self.has_wins,
        )

    def reset(self, key: Any) -> tuple[State, TimeStep]:
        drawn = jax.random.randint(key, (), 1, LIMIT + 1)
        length = drawn if self.length is None else jnp.asarray(self.length, jnp.int32)
        state = State(length, jnp.zeros((), jnp.int32), drawn)
        return state, self.show(state, jnp.zeros(()))

    def step(self, key: Any, state: State, action: Any) -> tuple[State, TimeStep]:
        state = State(state.left - 1, state.played + 1, state.drawn)
        return state, self.show(state, self.pay(action))

    def pay(self, action: Any) -> Any:
        return action.mean(dtype=jnp.float32)

    def show(self, state: State, reward: Any) -> TimeStep:
        ended = state.left == 0
        return TimeStep(
            obs=jnp.full((2, 1), state.left, jnp.float32),
            avail=jnp.ones((2, 3), bool),
            alive=jnp.ones(2, bool),
            reward=reward,
            first=state.played == 0,
            terminated=ended,
            truncated=jnp.zeros((), bool),
            won=ended & (state.drawn > LIMIT // 2) & self.has_wins,
            state=None,
        )


class FourSteps(FakeEnv):
    """`four_steps`."""

    name = "four_steps"
    length = 4


class Winless(FourSteps):
    """`winless`."""

    name = "winless"
    has_wins = False


class Unlike(FourSteps):
    """`unlike`."""

    name = "unlike"

    def pay(self, action: Any) -> Any:
        return jnp.where(action[0] == action[1], 0.0, jnp.nan)


class Infinite(FourSteps):
    """`infinite`."""

    name = "infinite"

    def show(self, state: State, reward: Any) -> TimeStep:
        return super().show(state, jnp.where(state.left == 0, jnp.inf, reward))


class Endless(FakeEnv):
    """`endless`."""

    name = "endless"
    length = 100


class DuelView:
    """Two allies walk up to an enemy that has a tenth of a point of health for each step left."""

    scene = Scene(
        width=12.0,
        height=8.0,
        walls=((0.0, 0.0, 12.0, 1.0),),
        cliffs=((5.0, 5.0, 7.0, 7.0),),
        kinds=(Kind("zealot", 0.5, 100.0, 50.0), Kind("zergling", 0.375, 0.6, 0.0)),
        allies=2,
    )

    def frame(self, state: State) -> Frame:
        left, played, _ = state
        return Frame(
            kind=jnp.array([0, 0, 1]),
            position=jnp.stack([jnp.array([1.0 + played, 2.0]), jnp.array([1.0 + played, 4.0]), jnp.array([9.0, 3.0])]),
            health=jnp.stack([jnp.float32(100), jnp.float32(40), 0.1 * left]),
            shield=jnp.array([50.0, 0.123456, 0.0]),
            target=jnp.where(played > 0, jnp.array([2, NOBODY, 0]), NOBODY),
            cooldown=jnp.stack([(played % 2) * 1.0, jnp.float32(0), -1.0 * played]),
        )

    def sight(self, obs: Any) -> Sight:
        offset = jnp.broadcast_to(obs[:, :, None], (2, 3, 2))
        return Sight(jnp.ones((2, 3), bool), offset, jnp.ones((2, 3)), jnp.ones((2, 3)), own_position=None)


class Duel(FakeEnv):
    """`duel`."""

    name = "duel"
    view = DuelView()


class EndlessDuel(Duel):
    """`endless_duel`."""

    name = "endless_duel"
    length = 100

    def show(self, state: State, reward: Any) -> TimeStep:
        return super().show(state, reward)._replace(truncated=state.played >= LIMIT)


_MAPS = {made.name: made for made in (FakeEnv, FourSteps, Winless, Unlike, Infinite, Endless, Duel, EndlessDuel)}


def specs() -> dict[str, EnvSpec]:
    return {name: made().spec for name, made in _MAPS.items()}


def make(map_name: str) -> FakeEnv:
    return _MAPS[map_name]()


def content_of_file(path: str) -> dict[str, Any]:
    return tomllib.loads(Path(path).read_text())


def spec_from_content(map_name: str, content: dict[str, Any]) -> EnvSpec:
    return make_from_content(map_name, content).spec


def make_from_content(map_name: str, content: dict[str, Any]) -> FakeEnv:
    return FakeEnv.of_file(map_name, content["length"])
