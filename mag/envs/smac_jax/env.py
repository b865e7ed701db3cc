"""SMAC's battles with the interface of a JaxMARL environment, without JaxMARL: to import it takes seconds."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.envs.smac_jax.battle import LOOPS_PER_SECOND, Units, make_battle, start_units
from mag.envs.smac_jax.loading import get_map
from mag.envs.smac_jax.maps import Map, check_rules
from mag.envs.smac_jax.observe import (
    available_actions,
    make_layout,
    num_actions,
    observation_size,
    observations,
    state_size,
    team_reward,
    world_state,
)
from mag.envs.smac_jax.rules import NO_OP, STOP, step_units
from mag.envs.smac_jax.units import Number


class State(NamedTuple):
    """A battle in progress."""

    units: Units
    last_actions: Int[Array, " agents"]
    """Each agent's last action; -1 before the first."""
    step: Int[Array, ""]
    """Environment steps taken."""
    done: Bool[Array, ""]
    """Whether the battle is over."""


class Discrete(NamedTuple):
    """The actions of an agent."""

    n: int


class SMAC:
    """A battle with SMAC's observations, state, actions, reward and limits, simulated in JAX.

    `mag.envs.smac_jax.multi_agent_env.JaxMarlSMAC` also is a JaxMARL environment.
    """

    def __init__(
        self,
        map_name: str | Map = "3s_vs_5z",
        ticks_per_second: Number = LOOPS_PER_SECOND,
        *,
        reload_varies: bool = True,
    ) -> None:
        """A battle on one of `MAP_NAMES`, or on a `Map` such as `load_map` returns.

        `ticks_per_second` is how many of the game's ticks (8 per step) make a second of the unit table: 22.4 in
        StarCraft II, 16 in SMAClite and SMAX, where units therefore do 1.4 times as much per step (only shields recover
        per tick in both). `reload_varies` tells whether reload times vary from shot to shot, as in StarCraft II; in
        SMAClite they do not. Raises UsageError for units without rules here, as Medivacs.
        """
        self.map = map_name if isinstance(map_name, Map) else get_map(map_name)
        check_rules(self.map)
        self.battle = make_battle(self.map, ticks_per_second, reload_varies=reload_varies)
        self.layout = make_layout(self.map)
        self.num_agents = self.battle.num_allies
        self.num_enemies = self.battle.num_enemies
        self.max_steps = self.map.limit
        self.obs_size = observation_size(self.layout)
        self.state_size = state_size(self.layout)
        self.num_actions = num_actions(self.layout)
        self.agents = [f"ally_{i}" for i in range(self.num_agents)]

    @property
    def name(self) -> str:
        """The map's name."""
        return self.map.name

    def action_space(self, agent: str) -> Discrete:
        """The actions of an agent, the same number for all."""
        return Discrete(self.num_actions)

    @property
    def agent_classes(self) -> dict[str, list[str]]:
        """The agents of each unit type."""
        classes: dict[str, list[str]] = {}
        for agent, unit in zip(self.agents, self.map.ally_types, strict=True):
            classes.setdefault(unit.name, []).append(agent)
        return classes

    @partial(jax.jit, static_argnums=(0,))
    def reset(self, key: PRNGKeyArray) -> tuple[dict[str, Array], State]:
        """The start of a battle, always the same: only `step_env` is random."""
        del key
        state = State(
            units=start_units(self.battle),
            last_actions=jnp.full(self.num_agents, -1, jnp.int32),
            step=jnp.int32(0),
            done=jnp.bool_(False),
        )
        return self.get_obs(state), state

    @partial(jax.jit, static_argnums=(0,))
    def step_env(
        self, key: PRNGKeyArray, state: State, actions: dict[str, Array]
    ) -> tuple[dict[str, Array], State, dict[str, Array], dict[str, Array], dict[str, Array]]:
        """Play one joint action for eight game ticks. An unavailable action counts as stop.

        An agent is done if it is dead or the battle is over. The infos are `won`, `truncated` (undecided at the limit)
        and `alive` [agents].
        """
        count = self.num_agents
        chosen = jnp.stack([jnp.asarray(actions[agent], jnp.int32) for agent in self.agents])
        available = available_actions(self.battle, state.units)
        allowed = jnp.any(available & (chosen[:, None] == jnp.arange(self.num_actions)), axis=1)
        chosen = jnp.where(state.units.alive[:count], jnp.where(allowed, chosen, STOP), NO_OP)
        units = step_units(self.battle, key, state.units, chosen)
        alive = units.alive[:count]
        won = jnp.any(alive) & ~jnp.any(units.alive[count:])
        decided = won | ~jnp.any(alive)
        truncated = ~decided & (state.step + 1 >= self.max_steps)
        state_after = State(units, chosen, state.step + 1, decided | truncated)
        reward = team_reward(self.battle, state.units, units, won)
        dones = {agent: ~alive[i] | state_after.done for i, agent in enumerate(self.agents)}
        dones["__all__"] = state_after.done
        infos = {"won": won, "truncated": truncated, "alive": alive}
        return (
            self.get_obs(state_after),
            state_after,
            dict.fromkeys(self.agents, reward),
            dones,
            infos,
        )

    def get_obs(self, state: State) -> dict[str, Array]:
        """Every agent's observation, and the global state under `world_state`."""
        available = available_actions(self.battle, state.units)
        seen = observations(self.battle, self.layout, state.units, available)
        obs = {agent: seen[i] for i, agent in enumerate(self.agents)}
        return obs | {"world_state": self.get_world_state(state)}

    def get_world_state(self, state: State) -> Float[Array, " state_size"]:
        """SMAC's global state."""
        return world_state(self.battle, self.layout, state.units, state.last_actions)

    @partial(jax.jit, static_argnums=(0,))
    def get_avail_actions(self, state: State) -> dict[str, Array]:
        """Each agent's mask of available actions."""
        available = available_actions(self.battle, state.units)
        return {agent: available[i] for i, agent in enumerate(self.agents)}
