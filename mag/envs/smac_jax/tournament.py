"""Win rates and mean returns of the scripted players.

`python -m mag.envs.smac_jax.tournament [MAP ...] [--battles 200]`
"""

import argparse
import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from mag.envs.smac_jax.battle import LOOPS_PER_SECOND
from mag.envs.smac_jax.env import SMAC, State
from mag.envs.smac_jax.loading import MAP_NAMES
from mag.envs.smac_jax.players import PLAYERS, Player
from mag.runtime import compile_options, setup

EVERYWHERE = ("random", "attack_nearest", "focus_weakest", "kite")
"""The players that play every map; the others play the maps that they were written for."""
PLANS = {
    "2s_vs_1sc": ("alternate", "swap_target"),
    "2s3z": ("protect_wounded",),
    "2c_vs_64zg": ("hold_corner",),
    "corridor": ("hold_neck",),
    "3s5z_vs_3s6z": ("protect_wounded",),
}
GAMMA = 0.99
"""Default discount, that of all recipes (`ppo.gamma`)."""


class Match(NamedTuple):
    """A battle being played, or its end."""

    key: PRNGKeyArray
    state: State
    won: Bool[Array, ""]
    returns: Float[Array, ""]
    discounted: Float[Array, ""]
    """Discounted return from the start: the sum of the rewards, each times `gamma` to the power of its step."""


def play(env: SMAC, player: Player, key: PRNGKeyArray, gamma: float = GAMMA) -> Match:
    """One battle from start to end."""

    def step(battle: Match) -> Match:
        key, key_player, key_step = jax.random.split(battle.key, 3)
        chosen = player(key_player, env, battle.state)
        actions = dict(zip(env.agents, chosen, strict=True))
        _, state, rewards, _, infos = env.step_env(key_step, battle.state, actions)
        reward = rewards[env.agents[0]]
        discounted = battle.discounted + gamma**battle.state.step * reward
        return Match(key, state, infos["won"], battle.returns + reward, discounted)

    _, state = env.reset(key)
    zero = jnp.zeros(())
    return jax.lax.while_loop(lambda battle: ~battle.state.done, step, Match(key, state, jnp.bool_(False), zero, zero))


def score(env: SMAC, player: str, battles: int, seed: int = 0, gamma: float = GAMMA) -> dict[str, float]:
    """Win rate, mean returns and mean length of a player in `battles` battles."""
    keys = jax.random.split(jax.random.key(seed), battles)
    playing = jax.jit(jax.vmap(lambda key: play(env, PLAYERS[player], key, gamma)), compiler_options=compile_options())
    ends = playing(keys)
    means = {
        "win_rate": ends.won,
        "mean_return": ends.returns,
        "discounted_return": ends.discounted,
        "mean_length": ends.state.step,
    }
    return {name: float(each.mean()) for name, each in means.items()}


def main() -> None:
    """Print one JSON object per map and player."""
    parser = argparse.ArgumentParser(prog="python -m mag.envs.smac_jax.tournament", description=__doc__)
    parser.add_argument(
        "maps", nargs="*", metavar="MAP", help=f"one or several of {', '.join(MAP_NAMES)}; default: all"
    )
    parser.add_argument("--battles", type=int, default=200, help="battles per player (default 200)")
    parser.add_argument(
        "--gamma", type=float, default=GAMMA, help="discount of discounted_return (default %(default)s)"
    )
    parser.add_argument(
        "--smaclite-clock", action="store_true", help="16 ticks to the second and fixed reload times, as in SMAClite"
    )
    options = parser.parse_args()
    if unknown := set(options.maps) - set(MAP_NAMES):
        parser.error(f"unknown map {', '.join(sorted(unknown))}; there are {', '.join(MAP_NAMES)}")
    setup()
    for name in options.maps or MAP_NAMES:
        env = SMAC(name, 16 if options.smaclite_clock else LOOPS_PER_SECOND, reload_varies=not options.smaclite_clock)
        for player in (*EVERYWHERE, *PLANS.get(name, ())):
            result = {"map": name, "player": player, "battles": options.battles}
            print(json.dumps(result | score(env, player, options.battles, gamma=options.gamma)), flush=True)


if __name__ == "__main__":
    main()
