"""Scripted players to compare learned policies with.

Each player is a pure function `(key, env, state) -> actions` [agents] of one battle. Players see the whole state, not
only the agents' observations, and choose available actions only. `PLAYERS` has all of them by name.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mag.envs.smac_jax.combat import sweeps
from mag.envs.smac_jax.env import SMAC, State
from mag.envs.smac_jax.observe import available_actions
from mag.envs.smac_jax.rules import DIRECTIONS, FIRST_ATTACK, MOVE_AMOUNT, NO_OP, NORTH, STOP
from mag.envs.smac_jax.terrain import head_for
from mag.envs.smac_jax.units import MELEE_RANGE

Player = Callable[[PRNGKeyArray, SMAC, State], Int[Array, " agents"]]
NEVER = -1e9
WOUNDED = 0.3
"""Share of health and shield below which a unit walks away."""
SAFE = 9.0
"""Distance at which no unit of the table reaches another."""
NECK_POSTS = ((10.6, 11.4), (11.4, 10.6), (10.9, 10.9), (9.6, 11.4), (11.4, 9.6), (10.0, 10.0))
"""Positions in an arc behind the neck of the map corridor."""
CORNER_POSTS = ((9.0, 19.0), (11.2, 19.0))
"""Positions side by side in the upper left corner of the map 2c_vs_64zg."""
CLIFF_POSTS = ((16.0, 10.5), (13.8, 10.5))
"""Positions beyond the cliff of 2c_vs_64zg on paths that cross: Colossi on the way push each other onto the cliff."""


def play_random(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """A uniformly random available action."""
    available = available_actions(env.battle, state.units)
    return jax.random.categorical(key, jnp.where(available, 0.0, NEVER)).astype(jnp.int32)


def attack_nearest(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Attack the nearest enemy in range; if there is none, walk towards the nearest enemy."""
    del key
    return _first_of(env, state, _attack(env, -_distances(env, state)), _approach(env, state))


def focus_weakest(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Attack the enemy in range with the least health and shield, the nearest of equals; else walk to the nearest."""
    del key
    return _first_of(env, state, _attack(env, -_weakness(env, state)), _approach(env, state))


def kite(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Shooters attack the weakest enemy and step back from near enemies while reloading; others attack the nearest.

    Written for units that outrange and outrun their enemies, such as Stalkers against Zealots.
    """
    del key
    count = env.num_agents
    shoots = env.battle.kinds.range[:count, None] > MELEE_RANGE
    reloading = state.units.cooldown[:count, None] > 0.3
    distance = _distances(env, state)
    pressed = jnp.min(distance, axis=1, keepdims=True) < 5.0
    flee = jnp.where(shoots & reloading & pressed, _flee(env, state), NEVER)
    attack = _attack(env, jnp.where(shoots, -_weakness(env, state), -distance))
    return _first_of(env, state, flee, attack, _approach(env, state))


def protect_wounded(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """`kite`, except that a nearly dead unit under attack walks away while others fight on.

    Written for 2s3z and 3s5z_vs_3s6z: enemies that follow a unit do not strike it.
    """
    units, count = state.units, env.num_agents
    hunted = jnp.any(units.target[None, count:] == np.arange(count)[:, None], axis=1)
    points, full = units.health + units.shield, env.battle.kinds.health + env.battle.kinds.shield
    wounded = points[:count] < WOUNDED * full[:count]
    others_fight = jnp.sum(units.alive[:count] & ~(wounded & hunted)) > 0
    flee = jnp.where((wounded & hunted & others_fight)[:, None], _flee(env, state), NEVER)
    fled = _first_of(env, state, flee)
    return jnp.where(jnp.max(flee, axis=1) > NEVER, fled, kite(key, env, state))


def alternate(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Take turns at being the target: a unit near death steps out of reach until its shield has recovered.

    Written for 2s_vs_1sc, where recovering shields decide the battle.
    """
    del key
    units, count = state.units, env.num_agents
    nearest = jnp.min(_distances(env, state), axis=1)
    # Two of the Spine Crawler's hits of 29 away from death: one may still land on the way out.
    spent = units.health[:count] + units.shield[:count] < 59.0
    far = nearest > SAFE
    tired = far & units.alive[:count] & (units.shield[:count] < 0.95 * env.battle.kinds.shield[:count])
    recovering = far & jnp.any(tired)  # they go back in together
    away = jnp.where((spent & (nearest < SAFE + 1.0))[:, None], _flee(env, state), NEVER)
    wait = jnp.where((spent | recovering)[:, None], _stop(env), NEVER)
    return _first_of(env, state, away, wait, _attack(env, -_distances(env, state)), _approach(env, state))


def swap_target(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Attack together; a unit that the next hit would kill steps out of reach once, and another one takes the hits.

    Written for 2s_vs_1sc, where both Stalkers can then shoot nearly all the time until the enemy's twelfth hit.
    """
    del key
    units, count, kinds = state.units, env.num_agents, env.battle.kinds
    hit = np.max(kinds.damage[count:, :count] * kinds.attacks[count:, None])
    hunted = jnp.any((units.target[None, count:] == np.arange(count)[:, None]) & units.alive[None, count:], axis=1)
    near_death = units.health[:count] + units.shield[:count] <= hit
    others_can_bear = jnp.any(units.alive[:count] & ~near_death)
    flee = jnp.where((hunted & near_death & others_can_bear)[:, None], _flee(env, state), NEVER)
    return _first_of(env, state, flee, _attack(env, -_distances(env, state)), _approach(env, state))


def hold_neck(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Run to posts behind corridor's neck and attack the enemies that come through."""
    del key
    count = env.num_agents
    position = state.units.position[:count]
    posts = _posts(env, NECK_POSTS)
    distance = _distances(env, state)
    at_post = jnp.linalg.norm(posts - position, axis=-1) < 1.0
    in_reach = jnp.where(distance < jnp.where(at_post, 2.5, 1.2)[:, None], -_weakness(env, state), NEVER)
    return _first_of(env, state, _attack(env, in_reach), _go(env, state, posts))


def walk_north(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Attack the nearest enemy in range; if there is none, walk north.

    The simplest plan that wins corridor: the walk ends between the walls.
    """
    del key
    north = jnp.full((env.num_agents, env.num_actions), NEVER).at[:, NORTH].set(0.0)
    return _first_of(env, state, _attack(env, -_distances(env, state)), north)


def hold_corner(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Walk to a corner above the cliff while reloading, and attack the enemy whose beam sweeps most enemies.

    Written for 2c_vs_64zg: in the corner, few Zerglings at a time reach a Colossus.
    """
    del key
    return _hold(env, state, CORNER_POSTS, sweeps(env.battle, state.units) - 0.3 * _distances(env, state))


def hold_corner_attack_nearest(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """`hold_corner`, but attack the nearest enemy: what the choice of the target is worth."""
    del key
    return _hold(env, state, CORNER_POSTS, -_distances(env, state))


def hold_cliff(key: PRNGKeyArray, env: SMAC, state: State) -> Int[Array, " agents"]:
    """Push each other onto the cliff while reloading, and attack the nearest enemy: a plan that need not aim.

    Written for 2c_vs_64zg: on the cliff, few Zerglings at a time reach a Colossus. No action leads onto it from beside
    (see `available_actions`).
    """
    del key
    return _hold(env, state, CLIFF_POSTS, -_distances(env, state))


def _hold(
    env: SMAC, state: State, posts: tuple[tuple[float, float], ...], preference: Float[Array, "agents enemies"]
) -> Int[Array, " agents"]:
    """Walk to the posts while reloading and no enemy is near; attack the preferred enemy in range."""
    units, count = state.units, env.num_agents
    goals = _posts(env, posts)
    walks = (units.cooldown[:count] > 0.3) & (jnp.min(_distances(env, state), axis=1) > 2.0)
    walks &= jnp.linalg.norm(goals - units.position[:count], axis=-1) > 0.8
    go = _go(env, state, goals)
    return _first_of(env, state, jnp.where(walks[:, None], go, NEVER), _attack(env, preference), go)


def _posts(env: SMAC, posts: tuple[tuple[float, float], ...]) -> Float[Array, "agents 2"]:
    """A post for each agent, in turns if there are more agents than posts."""
    return jnp.asarray(np.resize(np.array(posts, np.float32), (env.num_agents, 2)))


def _first_of(env: SMAC, state: State, *wishes: Float[Array, "agents actions"]) -> Int[Array, " agents"]:
    """Each agent's best action by the first wish with a score above NEVER; else stop, or no-op if dead."""
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
    """Health and shield of each enemy, plus a little of the distance to break ties."""
    points = (state.units.health + state.units.shield)[None, env.num_agents :]
    return points + 0.1 * _distances(env, state)


def _attack(env: SMAC, score: Float[Array, "agents enemies"]) -> Float[Array, "agents actions"]:
    """Wish to attack the enemy with the highest score."""
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


def _stop(env: SMAC) -> Float[Array, "agents actions"]:
    """Wish to stand."""
    return jnp.full((env.num_agents, env.num_actions), NEVER).at[:, STOP].set(0.0)


def _approach(env: SMAC, state: State) -> Float[Array, "agents actions"]:
    """Wish to move towards the nearest enemy."""
    nearest = jnp.argmin(_distances(env, state), axis=1)
    return _go(env, state, state.units.position[env.num_agents :][nearest])


def _flee(env: SMAC, state: State) -> Float[Array, "agents actions"]:
    """Wish to move where the enemies are furthest, counting the near ones most, and not into a corner."""
    places = state.units.position[: env.num_agents, None] + MOVE_AMOUNT * jnp.asarray(DIRECTIONS)
    edge = jnp.min(jnp.minimum(places, env.battle.terrain.size - places), axis=-1)
    return _moves(env, -_danger(env, state, places) - 0.05 * jnp.maximum(4.0 - edge, 0.0))


def _danger(env: SMAC, state: State, places: Float[Array, "agents 4 2"]) -> Float[Array, "agents 4"]:
    """Sum over the living enemies of about 1 / distance^2 to each place."""
    enemies = state.units.position[env.num_agents :]
    distance = jnp.linalg.norm(places[:, :, None] - enemies, axis=-1)
    return jnp.sum(jnp.where(state.units.alive[env.num_agents :], 1.0 / (distance + 0.1) ** 2, 0.0), axis=-1)


PLAYERS: dict[str, Player] = {
    "random": play_random,
    "attack_nearest": attack_nearest,
    "focus_weakest": focus_weakest,
    "kite": kite,
    "protect_wounded": protect_wounded,
    "alternate": alternate,
    "swap_target": swap_target,
    "hold_neck": hold_neck,
    "walk_north": walk_north,
    "hold_corner": hold_corner,
    "hold_corner_attack_nearest": hold_corner_attack_nearest,
    "hold_cliff": hold_cliff,
}
