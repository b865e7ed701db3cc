"""Scripted players: yardsticks for learned policies and opponents of no map's designer.

Each is a pure function `(key, env, state) -> actions` [agents] for one battle. They see the whole
state, not just what the agents see, and take only available actions. `PLAYERS` names them all.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mag.envs.smac_jax.env import SMAC, State
from mag.envs.smac_jax.observe import available_actions
from mag.envs.smac_jax.rules import DIRECTIONS, FIRST_ATTACK, MOVE_AMOUNT, NO_OP, NORTH, STOP
from mag.envs.smac_jax.terrain import head_for

Player = Callable[[PRNGKeyArray, SMAC, State], Int[Array, " agents"]]
NEVER = -1e9


def play_random(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Any available action, all equally likely."""
    available = available_actions(env.battle, state.units)
    return jax.random.categorical(key, jnp.where(available, 0.0, NEVER)).astype(jnp.int32)


def attack_nearest(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Attack the nearest enemy one may attack; walk towards the nearest enemy if there is none."""
    del key
    return _first_of(env, state, _attack(env, state, -_distances(env, state)), _approach(env, state))


def focus_weakest(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Attack the enemy with the least health and shield one may attack, the nearest of equals.

    else walk to the nearest.
    """
    del key
    return _first_of(env, state, _attack(env, state, -_weakness(env, state)), _approach(env, state))


def kite(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Shoot the weakest when the weapon is ready, step back from enemies nearby while it reloads.

    Made for units that outrange and outrun their enemies, such as Stalkers against Zealots.
    """
    del key
    count = env.num_agents
    reload = state.units.cooldown[:count]
    nearest = jnp.min(_distances(env, state), axis=1)
    step_back = (reload > 0.3) & (nearest < 5.0)
    flee = jnp.where(step_back[:, None], _flee(env, state), NEVER)
    attack = _attack(env, state, -_weakness(env, state))
    return _first_of(env, state, flee, attack, _approach(env, state))


def _first_of(env: SMAC, state: State, *wishes: Float[Array, "agents actions"]) -> Int[Array, " agents"]:
    """The best action of the first wish that has any (scores above NEVER).

    else stop, or no-op for the dead.
    """
    action = jnp.where(state.units.alive[: env.num_agents], STOP, NO_OP)
    available = available_actions(env.battle, state.units)
    for wish in reversed(wishes):
        score = jnp.where(available, wish, NEVER)
        best = jnp.argmax(score, axis=1)
        action = jnp.where(jnp.max(score, axis=1) > NEVER, best, action)
    return action.astype(jnp.int32)


def _distances(env: SMAC, state: State) -> Float[Array, "agents enemies"]:
    """Distance from each agent to each enemy; infinite for dead enemies."""
    position, count = state.units.position, env.num_agents
    distance = jnp.linalg.norm(position[None, count:] - position[:count, None], axis=-1)
    return jnp.where(state.units.alive[None, count:], distance, jnp.inf)


def _weakness(env: SMAC, state: State) -> Float[Array, "agents enemies"]:
    """Health and shield left to each enemy, with a little of the distance to tell equals apart."""
    points = (state.units.health + state.units.shield)[None, env.num_agents :]
    return points + 0.1 * _distances(env, state)


def _attack(env: SMAC, state: State, score: Float[Array, "agents enemies"]) -> Float[Array, "agents actions"]:
    """Wish to attack the enemy with the highest score."""
    del state
    return jnp.full((env.num_agents, env.num_actions), NEVER).at[:, FIRST_ATTACK:].set(score)


def _go(env: SMAC, state: State, goal: Float[Array, "agents 2"]) -> Float[Array, "agents actions"]:
    """Wish to move to `goal`, round walls; only moves that come nearer."""
    count = env.num_agents
    position = state.units.position[:count]
    way = head_for(env.battle.terrain, position, goal, env.battle.kinds.climbs[:count]) - position
    gain = way @ jnp.asarray(DIRECTIONS).T
    return _moves(env, jnp.where(gain > 0.5, gain, NEVER))


def _moves(env: SMAC, score: Float[Array, "agents 4"]) -> Float[Array, "agents actions"]:
    return jnp.full((env.num_agents, env.num_actions), NEVER).at[:, NORTH:FIRST_ATTACK].set(score)


def _approach(env: SMAC, state: State) -> Float[Array, "agents actions"]:
    """Wish to move towards the nearest enemy."""
    nearest = jnp.argmin(_distances(env, state), axis=1)
    return _go(env, state, state.units.position[env.num_agents :][nearest])


def _flee(env: SMAC, state: State) -> Float[Array, "agents actions"]:
    """Wish to move where the enemies are furthest, counting the near ones most, and not into a corner."""
    count = env.num_agents
    position = state.units.position
    places = position[:count, None] + MOVE_AMOUNT * jnp.asarray(DIRECTIONS)
    distance = jnp.linalg.norm(places[:, :, None] - position[count:], axis=-1)
    danger = jnp.sum(jnp.where(state.units.alive[count:], 1.0 / (distance + 0.1) ** 2, 0.0), axis=-1)
    size = env.battle.terrain.size
    edge = jnp.min(jnp.minimum(places, size - places), axis=-1)
    return _moves(env, -danger - 0.05 * jnp.maximum(4.0 - edge, 0.0))


PLAYERS: dict[str, Player] = {
    "random": play_random,
    "attack_nearest": attack_nearest,
    "focus_weakest": focus_weakest,
    "kite": kite,
}
