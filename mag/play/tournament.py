"""Tournaments on `smac_jax`: win rates and mean returns of the scripted players.

`python -m mag.play.tournament [MAP ...] [--battles 200]`
"""

import argparse
import json
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.envs.smac_jax import adapt, own_clock
from mag.envs.smac_jax.battle import LOOPS_PER_SECOND
from mag.envs.smac_jax.env import SMAC
from mag.envs.smac_jax.loading import MAP_NAMES, get_map
from mag.envs.smac_jax.players import PLAYERS, Player
from mag.envs.smac_jax.units import Number
from mag.play.episode import Episode, start_episode
from mag.play.testing import Trial, play_episode
from mag.runtime import compile_options, setup

EVERYWHERE = ("random", "attack_nearest", "focus_weakest", "kite")
"""The players that play every map; the others play the maps that they were written for."""
PLANS = {
    "2s_vs_1sc": ("alternate", "swap_target"),
    "2s3z": ("protect_wounded",),
    "2c_vs_64zg": ("hold_corner", "hold_corner_attack_nearest", "hold_cliff"),
    "corridor": ("hold_neck", "walk_north"),
    "3s5z_vs_3s6z": ("protect_wounded",),
}
GAMMA = 0.99
"""Default discount, the paper's (`ppo.gamma` of recipe `paper`)."""


class Match(NamedTuple):
    """The end of a battle."""

    won: Bool[Array, ""]
    returns: Float[Array, ""]
    discounted: Float[Array, ""]
    """Discounted return from the start: the sum of the rewards, each times `gamma` to the power of its step."""
    length: Int[Array, ""]


def battles_on(map_name: str, ticks_per_second: Number = LOOPS_PER_SECOND, *, reload_varies: bool = True) -> SMAC:
    """Battles on a map from `own_clock`."""
    game_map = get_map(map_name)
    return SMAC(own_clock(game_map, game_map.limit), ticks_per_second, reload_varies=reload_varies)


def play(battles: SMAC, player: Player, key: PRNGKeyArray, gamma: float = GAMMA) -> Match:
    """One battle from start to end; the map of `battles` is from `own_clock`. The key is consumed."""
    env = adapt("tournament", battles, battles.max_steps - 1)

    def discounted(episode: Episode) -> Float[Array, ""]:
        return episode.carry + gamma ** (episode.length - 1) * episode.timestep.reward

    def choose(key: PRNGKeyArray, episode: Episode) -> tuple[Array, Array]:
        return player(key, battles, episode.env_state.inner), discounted(episode)

    key_reset, key = jax.random.split(key)
    end = play_episode(Trial(key, start_episode(key_reset, env, jnp.zeros(()))), env=env, choose=choose)
    return Match(end.timestep.won, end.returns, discounted(end), end.length)


def score(battles: SMAC, player: str, count: int, seed: int = 0, gamma: float = GAMMA) -> dict[str, float]:
    """Win rate, mean returns and mean length of a player in `count` battles; their map is from `own_clock`."""
    keys = jax.random.split(jax.random.key(seed), count)
    one = partial(play, battles, PLAYERS[player], gamma=gamma)
    ends = jax.jit(jax.vmap(one), compiler_options=compile_options())(keys)
    means = {
        "win_rate": ends.won,
        "mean_return": ends.returns,
        "discounted_return": ends.discounted,
        "mean_length": ends.length,
    }
    return {name: float(each.mean()) for name, each in means.items()}


def main() -> None:
    """Print one JSON object per map and player."""
    parser = argparse.ArgumentParser(prog="python -m mag.play.tournament", description=__doc__)
    parser.add_argument(
        "maps", nargs="*", metavar="MAP", help=f"one or several of {', '.join(MAP_NAMES)}; default: all"
    )
    parser.add_argument("--battles", type=int, default=200, help="battles per player, at least 1 (default 200)")
    parser.add_argument(
        "--gamma", type=float, default=GAMMA, help="discount of discounted_return (default %(default)s)"
    )
    parser.add_argument(
        "--smaclite-clock", action="store_true", help="16 ticks to the second and fixed reload times, as in SMAClite"
    )
    options = parser.parse_args()
    if unknown := set(options.maps) - set(MAP_NAMES):
        parser.error(f"unknown map {', '.join(sorted(unknown))}; there are {', '.join(MAP_NAMES)}")
    if options.battles < 1:
        parser.error(f"--battles is {options.battles}; it must be at least 1")
    setup()
    for name in options.maps or MAP_NAMES:
        battles = battles_on(name, 16, reload_varies=False) if options.smaclite_clock else battles_on(name)
        for player in (*EVERYWHERE, *PLANS.get(name, ())):
            result = {"map": name, "player": player, "battles": options.battles}
            print(json.dumps(result | score(battles, player, options.battles, gamma=options.gamma)), flush=True)


if __name__ == "__main__":
    main()
