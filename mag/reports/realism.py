"""How real imagined battles are: the joint policy plays in the world model, and the simulator repeats its actions.

The policy plays whole real episodes. From some steps of these episodes, the policy also plays in the world model, as in
rollouts, and the simulator, set to the state at that step, is given the same joint actions. Both outcomes are compared.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from scipy import stats

from mag.algorithms.contract import RollsOut, ScoredRollout
from mag.envs import Env
from mag.envs.view import View
from mag.errors import UsageError
from mag.learning.distributions import distance
from mag.learning.parallel import first_seed
from mag.play.episode import Agent, Episode, chosen_by, kept, step_episode, unexploring, where
from mag.play.jax_player import JaxPlayer
from mag.play.testing import Trial, is_running, play_through, start_trial
from mag.reports.classifier import held_out_accuracy
from mag.runs.trained import Trained, load_seed
from mag.runtime import compile_options
from mag.types import Arrival

STREAM = 0x4EA1
"""Folded into the seed's key, for keys that no run trains or tests with."""
PAST = 8
"""Real steps that the world model observes before a rollout starts from the last of them."""
STARTS = 4
"""Rollouts from each episode."""
FEWEST = 100
"""Fewest rollouts at a step for which a classifier is trained."""
LENGTH = 15
"""Steps of a rollout (the paper's k)."""


class Repeated(NamedTuple):
    """The simulator's steps under a rollout's joint actions, `[k, ...]`."""

    arrivals: Arrival
    ended: Bool[Array, " k"]
    """Whether the episode is over at the step."""


class Comparison(NamedTuple):
    """Rollouts in the world model, and the simulator's steps under the same joint actions, `[rollouts, ...]`."""

    past: Arrival
    """The real steps before a rollout, which starts from the last one, `[rollouts, PAST, ...]`."""
    imagined: ScoredRollout
    repeated: Repeated
    decoded: Float[Array, "rollouts k agents obs"]
    """The simulator's observations once observed and decoded by the world model."""
    returns: Float[Array, " rollouts"]
    """The discounted return of the real episode from the rollout's start to the episode's end."""
    known: Bool[Array, " rollouts"]
    """Whether the real episode has `PAST` steps up to the rollout's start, and a step after the start."""
    cut: Bool[Array, " rollouts"]
    """Whether the time limit cut the real episode, which leaves its discounted return incomplete."""


def can_be_compared(run: Trained) -> bool:
    """Whether a run has a world model to play in, a simulator that can be set to a state, and episodes to observe."""
    if not (isinstance(run.algorithm, RollsOut) and isinstance(run.player, JaxPlayer)):
        return False
    return run.player.env.spec.episode_limit >= PAST


def check_compared(run: Trained) -> None:
    """Raise UsageError where a run cannot be compared with the simulator."""
    if not can_be_compared(run):
        raise UsageError(
            f"{run.config.algo} on {run.config.env} cannot be compared with the simulator: that takes a world model, "
            f"an environment in JAX, which can be set to a state, and episodes of {PAST} steps or more"
        )


def realism(run: Trained, *, rollouts: int, length: int = LENGTH) -> dict[str, Any]:
    """The realism of the world model of a run's first seed, over about `rollouts` rollouts (see `realism_measures`).

    Raises UsageError where the run cannot be compared with the simulator, or episodes are too short.
    """
    check_compared(run)
    algorithm, player, learner = cast(Any, run.algorithm), cast(JaxPlayer, run.player), run.state.learner
    agent = algorithm.agent(learner)
    found = compare_rollouts(algorithm, agent, player.env, learner, run.config.seed, rollouts, length)
    if not found.known.any():
        raise UsageError(f"no episode of {run.config.env} was longer than {PAST} steps; nothing to roll out from")
    found = jax.tree.map(lambda x: x[found.known], found)
    return realism_measures(found, getattr(player.env, "view", None))


def rollout_errors(path: Path, seed: int, rollouts: int = 512) -> dict[str, list[float | None]]:
    """The mean error at each step of rollouts (Fig. 3) in the models of one seed of a run: `learned` by the model
    reward, `true` by the simulator."""
    rows = realism(load_seed(path, seed), rollouts=rollouts)["by_steps_ahead"]
    return {"learned": [row["estimate"] for row in rows], "true": [row["error"] for row in rows]}


def compare_rollouts(
    algorithm: RollsOut, agent: Agent, env: Env, state: Any, seed: int, rollouts: int, length: int
) -> Comparison:
    """Rollouts of `length` steps from real episodes, and the simulator's steps under their joint actions."""
    key_reward, key_play = jax.random.split(jax.random.fold_in(jax.random.key(seed), STREAM))
    model_reward = algorithm.model_reward(key_reward, state)

    def of_one_episode(key: PRNGKeyArray, state: Any, agent: Agent, model_reward: Any) -> Comparison:
        keys = jax.random.split(key, 2)
        played = play(keys[0], env, first_seed(agent))
        compare = partial(_compare, algorithm, env, first_seed(state), model_reward, played, length=length)
        return jax.vmap(compare)(jax.random.split(keys[1], STARTS))

    def all_episodes(keys: Array, state: Any, agent: Agent, model_reward: Any) -> Comparison:
        return jax.lax.map(lambda key: of_one_episode(key, state, agent, model_reward), keys)

    compiled = jax.jit(all_episodes, compiler_options=compile_options())
    keys = jax.random.split(key_play, -(-rollouts // STARTS))
    found = compiled(keys, state, agent, model_reward)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)


class Played(NamedTuple):
    """A real episode `[time, ...]`, whose last step repeats after its end."""

    episodes: Episode
    """The episode under way at each step, from which it can be continued otherwise."""
    arrivals: Arrival
    over: Bool[Array, " time"]
    """Whether the episode has ended at the step."""
    truncated: Bool[Array, ""]

    @property
    def rewards(self) -> Float[Array, " time"]:
        """The team's rewards; 0 where the last step repeats."""
        repeats = jnp.concatenate([jnp.zeros(1, bool), self.over[:-1]])
        return jnp.where(repeats, 0.0, self.arrivals.rewards.mean(-1))


def play(key: PRNGKeyArray, env: Env, agent: Agent) -> Played:
    """Play one episode, drawing actions as in rollouts. The key is consumed."""

    def show(trial: Trial) -> tuple[Episode, Arrival, Array]:
        episode = trial.episode
        return episode, kept(episode.timestep, episode.previous_action), ~is_running(env, trial)

    agent = unexploring(agent)
    start, choose = start_trial(key, env, agent), chosen_by(agent, greedy=False)
    last, (episodes, arrivals, over) = play_through(start, env=env, choose=choose, show=show)
    return Played(episodes, arrivals, over, ~last.timestep.terminated)


def repeat(key: PRNGKeyArray, env: Env, episode: Episode, actions: Array) -> Repeated:
    """The simulator's steps under joint actions `[k, agents]`, from an episode under way.

    After the end the last arrival repeats. The key is consumed.
    """

    def step(episode: Episode, inputs: tuple) -> tuple[Episode, Repeated]:
        key, action = inputs  # the actions are given: `choose` draws nothing
        after = step_episode(key, key, episode, env=env, choose=lambda _, episode: (action, episode.carry))
        episode = where(has_ended(episode), episode, after)
        return episode, Repeated(kept(episode.timestep, episode.previous_action), has_ended(episode))

    return jax.lax.scan(step, episode, (jax.random.split(key, len(actions)), actions))[1]


def has_ended(episode: Episode) -> Bool[Array, ""]:
    """Whether an episode is over at its current time step."""
    return episode.timestep.terminated | episode.timestep.truncated


def _compare(
    algorithm: RollsOut,
    env: Env,
    state: Any,
    model_reward: Any,
    played: Played,
    key: PRNGKeyArray,
    *,
    length: int,
) -> Comparison:
    """One rollout from a step of a real episode, drawn uniformly. The key is consumed."""
    key_time, key_rollout, key_repeat, key_decode = jax.random.split(key, 4)
    steps = (~played.over).sum()  # those before the end
    time = jax.random.randint(key_time, (), PAST - 1, jnp.maximum(steps, PAST))
    past = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, time - PAST + 1, PAST), played.arrivals)
    imagined = algorithm.scored_rollout(key_rollout, state, model_reward, past, length=length)
    episode = jax.tree.map(lambda x: x[time], played.episodes)
    repeated = repeat(key_repeat, env, episode, imagined.action)
    whole = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), past, repeated.arrivals)
    decoded = algorithm.imagine(key_decode, state, whole, observed=PAST + length).obs[PAST:]
    ahead = jnp.arange(len(played.over)) - time
    discount = jnp.where(ahead > 0, algorithm.discount ** (ahead - 1.0), 0.0)
    returns = (played.rewards * discount).sum()
    return Comparison(past, imagined, repeated, decoded, returns, time < steps, played.truncated)


def realism_measures(found: Comparison, view: View | None) -> dict[str, Any]:
    """The measures of realism of rollouts `[rollouts, ...]`.

    The simulator's steps after the end of an episode are left out; imagined rewards and deaths are weighted by the
    probability that the episode is still going on in the world model.
    """
    imagined, repeated = found.imagined, found.repeated
    ended = repeated.ended
    over = jnp.concatenate([jnp.zeros_like(ended[:, :1]), ended[:, :-1]], 1)  # before the step
    goes_on = jnp.cumprod(imagined.continues, axis=1)
    reached = jnp.concatenate([jnp.ones_like(goes_on[:, :1]), goes_on[:, :-1]], 1)
    error = distance(imagined.obs, repeated.arrivals.obs)
    columns = {
        "error": _means(error, ~over),
        "estimate": _means(imagined.estimate, ~over),
        "reward": (repeated.arrivals.rewards.mean(-1) * ~over).mean(0),
        "reward_imagined": (imagined.reward * reached).mean(0),
        "over": ended.mean(0),
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
        real = jnp.concatenate([found.past.alive[:, -1:], repeated.arrivals.alive], 1)
        guess = jnp.concatenate([found.past.alive[:, -1:], imagined.alive], 1)
        result["deaths"] = float((_deaths(real) * ~ended).sum(1).mean())
        result["deaths_imagined"] = float((_deaths(guess) * goes_on).sum(1).mean())
    if view is not None:
        start, end, guess = (_health(view, x.obs[:, -1]) for x in (found.past, repeated.arrivals, imagined))
        going_on = goes_on[:, -1]
        result["health_lost"] = _plain(_means(start - end, ~ended[:, -1]))
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


def format_realism(found: dict[str, Any]) -> list[str]:
    """The measures of realism for people, in lines."""

    def share(value: float | None, width: int, digits: int = 2) -> str:
        return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"

    rows = found["by_steps_ahead"]
    lines = [
        f"rollouts of the policy in its world model, and the simulator given the same actions ({found['rollouts']}):",
        "steps   error of the observation   mean reward        share over         told",
        "ahead      true     estimated      real   imagined    real   imagined    apart",
    ]
    for row in (row for row in rows if row["ahead"] in (1, 2, 5, 10, len(rows))):
        lines.append(
            f"{row['ahead']:5}   {share(row['error'], 7)}   {share(row['estimate'], 11)}   {row['reward']:7.3f}   "
            f"{row['reward_imagined']:8.3f}   {row['over']:5.3f}   {row['over_imagined']:8.3f}   "
            f"{share(row['told_apart'], 6)}"
        )
    lines.append(
        "told apart: held-out accuracy of a classifier of imagined and simulated joint observations; 0.5 is best"
    )
    lines.append(
        f"critic's value where rollouts start {share(found['value'], 1)}, discounted return that followed "
        f"{share(found['returns'], 1)}"
    )
    lines.append(
        f"rank correlation of estimated and true error one step ahead: {share(found['estimate_follows_error'], 1)}"
    )
    if "deaths" in found:
        lines.append(
            f"agents that die within a rollout: {found['deaths']:.3f}, imagined {found['deaths_imagined']:.3f}"
        )
    if found.get("health_lost") is not None:
        lines.append(
            "health and shield that an agent loses within a rollout, 1 each for a fresh unit's: "
            f"{found['health_lost']:.3f}, imagined {share(found['health_lost_imagined'], 1, 3)}"
        )
    if found.get("views_disagree") is not None:
        lines.append(
            f"agents' views of the same unit at the last step lie {found['views_disagree']:.2f} map units apart; "
            f"{share(found['views_disagree_observed'], 1)} where the world model observes"
        )
    return lines


def write_picture(found: dict[str, Any], path: Path, title: str) -> None:
    """The measures by steps ahead, as a picture."""
    from matplotlib.figure import Figure

    rows = found["by_steps_ahead"]
    ahead = [row["ahead"] for row in rows]
    panels = [
        ("error of the joint observation", {"simulator": "error", "model reward": "estimate"}),
        ("told apart by a classifier", {"held-out accuracy": "told_apart"}),
        ("mean reward", {"real": "reward", "imagined": "reward_imagined"}),
        ("share of episodes that are over", {"real": "over", "imagined": "over_imagined"}),
    ]
    figure = Figure(figsize=(11, 2.9), layout="constrained")
    for axes, (heading, lines) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for (label, name), colour in zip(lines.items(), ("#222222", "#d95f02"), strict=False):
            axes.plot(ahead, [np.nan if row[name] is None else row[name] for row in rows], label=label, color=colour)
        if len(lines) == 1:
            axes.axhline(0.5, color="#888888", linewidth=0.8)
            axes.set_ylim(0.45, 1)
        axes.set_title(heading, fontsize=9)
        axes.set_xlabel("steps ahead", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.legend(fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
