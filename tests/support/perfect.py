"""What perfect predictions would be worth: MAMBA whose rollouts run in the simulator itself, not in its models.

PYTHONPATH=. mag train --env tests.support.perfect/3s_vs_4z --algo tests.support.perfect --size small --recipe tuned

Everything else is MAMBA: the local models learn from D_e and observe the simulator's steps, so that actor and critic
read states of the same kind, and rollouts are as many and as long. Only `predict` differs: it steps the battle of the
start state, whose units the environment shows as its global state. No planner can predict better than that.
"""

import dataclasses
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.algorithms.mag import method
from mag.algorithms.mag.algorithm import MAG, MAGState
from mag.algorithms.mag.local_models import LocalModels, ModelState
from mag.algorithms.mag.replay import ReplayState
from mag.algorithms.mag.world_model import Outcome
from mag.algorithms.method import SEVERAL_ENEMIES, Method, enemies_of
from mag.envs import EnvSpec, smac_jax
from mag.envs.nearest_first import NearestFirst
from mag.learning.parallel import per_seed
from mag.play.episode import absorb, arrival, empty_arrival, end_at_limit
from mag.types import Arrival, TimeStep

FAMILY = "tests.support.perfect"


class Shown:
    """A map of `smac_jax` whose global state is the whole state of the simulator.

    Where there are several enemies each agent sees its nearest enemy first, as recipe `tuned` has it.
    """

    def __init__(self, map_name: str) -> None:
        plain = smac_jax.make(map_name)
        self.env: Any = NearestFirst(plain) if enemies_of(plain.spec) >= SEVERAL_ENEMIES else plain
        shapes = jax.eval_shape(self.env.reset, jax.random.key(0))[0]
        flat, self.unravel = ravel_pytree(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
        self.spec = dataclasses.replace(
            self.env.spec, name=f"{FAMILY}/{map_name}", state_dim=flat.size, enemies=None, nearest_first=False
        )

    def reset(self, key: PRNGKeyArray) -> tuple[Any, TimeStep]:
        """See `Env.reset`."""
        return self._show(*self.env.reset(key))

    def step(self, key: PRNGKeyArray, state: Any, action: Int[Array, " agents"]) -> tuple[Any, TimeStep]:
        """See `Env.step`."""
        return self._show(*self.env.step(key, state, action))

    def step_flat(
        self, key: PRNGKeyArray, flat: Float[Array, " state"], action: Int[Array, " agents"]
    ) -> tuple[Float[Array, " state"], TimeStep]:
        """As `step`, from the global state. The key is consumed."""
        _, timestep = self.step(key, self.unravel(flat), action)
        assert timestep.state is not None
        return timestep.state, timestep

    def _show(self, state: Any, timestep: TimeStep) -> tuple[Any, TimeStep]:
        return state, timestep._replace(state=ravel_pytree(state)[0])


@cache
def make(map_name: str) -> Shown:
    """The environment of a map."""
    return Shown(map_name)


def specs() -> dict[str, EnvSpec]:
    """The spec of every map that is small enough to be tried."""
    return {name: make(name).spec for name in ("2s_vs_1sc", "2s3z", "3s_vs_3z", "3s_vs_4z", "3s_vs_5z")}


class BattleState(NamedTuple):
    """A joint state of the local models, and the battle that it observes."""

    stoch: Any
    deter: Float[Array, "agents deterministic"]
    alive: Bool[Array, " agents"]
    """Which agents are alive; none after the end."""
    battle: Float[Array, " state"]
    avail: Bool[Array, "agents actions"]
    reward: Float[Array, ""]
    """Reward of the transition that led here."""
    observed: Any
    """The latent from which the next step goes on."""

    def of_models(self) -> ModelState:
        """The state without the battle."""
        return ModelState(self.stoch, self.deter, self.alive)


class Perfect(LocalModels):
    """Local models that observe the simulator's next step in place of a prediction."""

    def observe_sequence(self, key: PRNGKeyArray, sequence: Arrival) -> Any:
        """See `WorldModel.observe_sequence`: with the battles that the sequence shows."""
        return self._in_battle(super().observe_sequence(key, sequence), sequence)

    def predict(self, key: PRNGKeyArray, state: Any, action: Int[Array, " agents"]) -> Any:
        """The next joint state: the simulator's step, observed. The key is consumed."""
        key_step, key_observe = jax.random.split(key)
        battle, timestep = make(self.spec.name.rpartition("/")[2]).step_flat(key_step, state.battle, action)
        over = ~state.alive.any()
        reward, terminated = jnp.where(over, 0, timestep.reward), timestep.terminated | over
        shown = absorb(end_at_limit(timestep._replace(reward=reward, terminated=terminated)))
        item = arrival(shown, action)._replace(state=jnp.where(over, state.battle, battle))
        before = state.of_models()._replace(stoch=state.observed)
        return self._in_battle(self.observe(key_observe, before, item), item)

    def outcome(self, before: Any, after: Any) -> Outcome:
        """See `WorldModel.outcome`: the simulator's reward and end."""
        reward = jnp.broadcast_to(self.config.reward_scale * after.reward, (self.spec.n_agents,))
        return super().outcome(before.of_models(), after.of_models())._replace(reward=reward)

    def available(self, key: PRNGKeyArray, state: Any) -> Bool[Array, "agents actions"]:
        """See `WorldModel.available`: the simulator's mask."""
        return state.avail

    def _in_battle(self, state: Any, item: Arrival) -> BattleState:
        return BattleState(*state, item.state, item.avail, item.reward, state.stoch)


class PerfectMAG(MAG):
    """MAG that keeps the environment's global state in D_e."""

    def footprint(self) -> dict[str, int]:
        """See `Algorithm.footprint`: not estimated."""
        return {}

    @per_seed(runs_once=True)
    def init(self, key: PRNGKeyArray) -> MAGState:
        """See `MAG.init`. The key is consumed."""
        data = self.replay.init(empty_arrival(self.spec, with_state=True))
        return MAG.init.method(self, key)._replace(data=data)

    @per_seed(donate=("data",))
    def add(self, data: ReplayState, arrivals: Arrival) -> ReplayState:
        """Line 3: add the played steps to D_e, with the global state."""
        return self.replay.add(data, arrivals)


def mamba_with(models: Any) -> Method:
    """MAMBA that plays in such models."""

    def make_models(key: PRNGKeyArray, spec: EnvSpec, config: Any) -> Any:
        return models(key, spec, config.networks, config.models)

    return dataclasses.replace(method.MAMBA, make=lambda config, spec: PerfectMAG(config, spec, make_models))


METHOD = mamba_with(Perfect)
