"""Measures of how real rollouts are."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy import stats

from mag.envs.view import View
from mag.learning.distributions import distance
from mag.learning.ppo import reached
from mag.reports.classifier import held_out_accuracy
from mag.reports.realism.rollouts import STREAM, Comparison, over_before

FEWEST = 100
"""Fewest rollouts at a step for which a classifier is trained."""


def realism_measures(found: Comparison, view: View | None) -> dict[str, Any]:
    """The measures of realism of rollouts `[rollouts, ...]`.

    Rewards, ends, deaths and the health lost are compared with those of the policy's own real play; observations with
    those of the simulator under the imagined actions. Steps after the end of an episode are left out; imagined rewards
    and deaths are weighted by the probability that the episode is still going on in the world model.
    """
    imagined, played, repeated = found.imagined, found.played, found.repeated
    ended, over = repeated.ended, over_before(repeated.ended)
    goes_on = jnp.cumprod(imagined.continues, axis=1)
    error = distance(imagined.obs, repeated.arrivals.obs)
    columns = {
        "error": _means(error, ~over),
        "estimate": _means(imagined.estimate, ~over),
        "reward": (played.arrivals.rewards.mean(-1) * ~over_before(played.ended)).mean(0),
        "reward_imagined": (imagined.reward * reached(imagined.continues)).mean(0),
        "over": played.ended.mean(0),
        "over_imagined": 1 - goes_on.mean(0),
        "told_apart": _told_apart(found.decoded, imagined.obs, ~ended),
    }
    rows = [
        {"ahead": step + 1} | {name: _plain(x[step]) for name, x in columns.items()} for step in range(ended.shape[1])
    ]
    result: dict[str, Any] = {
        "rollouts": len(ended),
        "by_steps_ahead": rows,
        "estimate_follows_error": _rank_correlation(imagined.estimate[:, 0], error[:, 0]),
        "value": _plain(_means(imagined.value, ~found.cut)),
        "returns": _plain(_means(found.returns, ~found.cut)),
    }
    if imagined.alive is not None:
        real = jnp.concatenate([found.past.alive[:, -1:], played.arrivals.alive], 1)
        guess = jnp.concatenate([found.past.alive[:, -1:], imagined.alive], 1)
        result["deaths"] = float((_deaths(real) * ~played.ended).sum(1).mean())
        result["deaths_imagined"] = float((_deaths(guess) * goes_on).sum(1).mean())
    if view is not None:
        start, end, guess = (_health(view, x.obs[:, -1]) for x in (found.past, played.arrivals, imagined))
        going_on = goes_on[:, -1]
        result["health_lost"] = _plain(_means(start - end, ~played.ended[:, -1]))
        result["health_lost_imagined"] = _plain(((start - guess) * going_on).sum() / going_on.sum())
        result["views_disagree"] = _disagreement(view, imagined.obs[:, -1], ~ended[:, -1])
        result["views_disagree_observed"] = _disagreement(view, found.decoded[:, -1], ~ended[:, -1])
    return result


def _plain(value: Any) -> float | None:
    """A number for JSON; None where there is none."""
    return None if np.isnan(value) else float(value)


def _means(values: Array, used: Array) -> Any:
    """Means over the rollouts that are used; NaN where none is."""
    count = used.sum(0)
    return jnp.where(count > 0, jnp.where(used, values, 0).sum(0) / jnp.maximum(count, 1), jnp.nan)


def _rank_correlation(x: Array, y: Array) -> float | None:
    """Spearman's rank correlation; None where x or y is constant."""
    return (
        None if jnp.ptp(x) == 0 or jnp.ptp(y) == 0 else float(stats.spearmanr(np.asarray(x), np.asarray(y)).statistic)
    )


def _deaths(alive: Array) -> Array:
    """Number of agents that died in each step, `[rollouts, k]`, from `alive` `[rollouts, 1 + k, agents]`."""
    return (alive[:, :-1] & ~alive[:, 1:]).sum(-1)


def _health(view: View, obs: Array) -> Array:
    """The agents' own health and shield as observed, mean over agents, `[rollouts]`: 1 for a fresh unit's health, 1
    for its shield, 0 for the dead."""
    sight = jax.vmap(view.sight)(obs)
    points = jnp.where(sight.seen, sight.health + sight.shield, 0.0)
    return jnp.diagonal(points, axis1=-2, axis2=-1).mean(-1)


def _told_apart(real: Array, imagined: Array, used: Array) -> Array:
    """The held-out accuracy of a classifier on joint observations at each step, `[k]`; NaN below `FEWEST` rollouts."""
    enough = used.sum(0) >= FEWEST
    if not enough.any():
        return jnp.full(used.shape[1], jnp.nan)
    flat = (jnp.moveaxis(x.reshape(*x.shape[:2], -1), 1, 0) for x in (real, imagined))
    keys = jax.random.split(jax.random.key(STREAM), used.shape[1])
    accuracy = jax.jit(lambda *args: jax.lax.map(lambda each: held_out_accuracy(*each), args))
    return jnp.where(enough, accuracy(keys, *flat, used.T), jnp.nan)


def _disagreement(view: View, obs: Array, used: Array) -> float | None:
    """How far agents' views of the same unit lie apart, in map units: mean over agents i, j and units u that both see.

    Agent i sees agent j, and both see unit u: in real observations the vectors i to j and j to u add up to i to u. With
    the nearest enemy first only allies are compared. None where no agent sees another agent and a unit in common.
    """
    sight = jax.vmap(view.sight)(obs)
    seen, offset = sight.seen, sight.offset
    agents = obs.shape[1]
    between = offset[:, :, :agents]  # from i to j
    gap = jnp.linalg.norm(between[:, :, :, None] + offset[:, None] - offset[:, :, None], axis=-1)
    both = seen[:, :, :agents, None] & seen[:, None] & seen[:, :, None]
    both = both & ~jnp.eye(agents, dtype=bool)[:, :, None] & ~jnp.eye(agents, seen.shape[2], dtype=bool)[None, :, :]
    both = both & ~jnp.eye(agents, seen.shape[2], dtype=bool)[:, None, :] & used[:, None, None, None]
    return float(gap[both].mean()) if both.any() else None
