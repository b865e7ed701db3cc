"""Compare the critic of a run with the discounted returns that its newest battles really earned.

usage: python results/lab-book/critic.py RUN [--option ...]   (run by the same program version)
"""

import sys
from pathlib import Path

import jax
import numpy as np

from mag.algorithms.mag.local_models import observe_sequence
from mag.runs.trained import load_run


def main(run, last=500):
    trained = load_run(Path(run))
    algorithm, state = trained.algorithm, jax.tree.map(lambda x: x[0], trained.state)
    config = algorithm.config
    index = int(state.replay.current_index)
    items = jax.tree.map(lambda x: x[:, max(0, index - last) : index], state.replay.experience)
    models, critic = state.models.settled, state.policy.critic.params
    keys = jax.random.split(jax.random.key(0), items.first.shape[0])
    _, states = jax.jit(jax.vmap(lambda k, s: observe_sequence(models, k, s, training=False)))(keys, items)
    value = np.asarray(jax.jit(jax.vmap(jax.vmap(critic)))(states).mean(-1))
    reward, first, on = (np.asarray(x) for x in (items.reward, items.first, items.continues))
    reward = reward * config.models.reward_scale
    returns = np.full(reward.shape, np.nan)
    for env in range(len(reward)):
        following = np.nan
        for t in range(reward.shape[1] - 1, 0, -1):
            if first[env, t]:
                following = np.nan  # cut by the limit, or after absorbing items
                continue
            if on[env, t] == 0:
                following = 0.0
            returns[env, t - 1] = (
                reward[env, t] + config.ppo.gamma * following * on[env, t] if on[env, t] else reward[env, t]
            )
            following = returns[env, t - 1]
    alive = np.asarray(items.alive).any(-1)
    known = ~np.isnan(returns) & alive
    starts = known & first
    late = np.arange(first.shape[1]) > 20
    print(f"env steps {trained.progress.env_steps[0]}, starts {starts.sum()}")
    print(
        f"critic at starts / returns: {value[starts].mean():.3f} / {returns[starts].mean():.3f} = {value[starts].mean() / returns[starts].mean():.3f}"
    )
    every = known & late
    print(
        f"critic at all states / returns: {value[every].mean():.3f} / {returns[every].mean():.3f} = {value[every].mean() / returns[every].mean():.3f}"
    )
    error = returns[every] - value[every]
    print(
        f"variance explained {1 - error.var() / returns[every].var():.3f}, correlation {np.corrcoef(value[every], returns[every])[0, 1]:.3f}"
    )

    compare_futures(models, critic, state.policy.actor.params, states, items, returns, value, config)


def compare_futures(models, critic, actor, states, items, returns, value, config, ahead=15, count=3000):
    """From states of the newest battles: what really came within some steps, and what the models and the policy imagine."""
    from mag.algorithms.mag.rollout import rollout

    first, on, reward = (np.asarray(x) for x in (items.first, items.continues, items.reward))
    alive = np.asarray(items.alive)
    length = first.shape[1]
    good = [
        (e, t)
        for e in range(len(first))
        for t in range(8, length - ahead)
        if alive[e, t].any()
        and not first[e, t + 1]
        and not first[e, t - 8 : t].any()
        and not (first[e, t + 1 : t + ahead + 1].any() and on[e, t + 1 : t + ahead + 1].all())
    ]
    chosen = np.array(good)[np.random.default_rng(0).permutation(len(good))[:count]]
    e, t = chosen.T
    start = jax.tree.map(lambda x: x[e, t], states)
    keys = jax.random.split(jax.random.key(3), len(e))
    predict = models.predict
    one = lambda key, s: rollout(key, s, models=models, actor=actor, predict=predict, length=ahead)  # noqa: E731
    out = jax.jit(jax.vmap(one))(keys, start)
    v_end = np.asarray(jax.jit(jax.vmap(critic))(out.last).mean(-1))
    goes = np.cumprod(np.asarray(out.continues).mean(-1), 1)
    before = np.concatenate([np.ones((len(goes), 1)), goes[:, :-1]], 1)
    gamma = config.ppo.gamma ** np.arange(ahead)
    imagined = np.asarray(out.reward) * before
    real, going = np.zeros_like(imagined), np.ones_like(imagined)
    for k in range(1, ahead + 1):
        going[:, k - 1] = (
            on[e, t + 1 : t + k + 1].min(1) if False else np.array([on[i, j + 1 : j + k + 1].min() for i, j in chosen])
        )
        was = np.ones(len(e)) if k == 1 else going[:, k - 2]
        real[:, k - 1] = reward[e, t + k] * was * config.models.reward_scale
    known = ~np.isnan(returns[e, t])
    end_real = going[:, -1] * value[e, t + ahead]
    end_imagined = goes[:, -1] * v_end
    tail = np.where(going[:, -1] > 0, returns[e, np.minimum(t + ahead, length - 1)], 0.0)
    print(
        f"starts {len(e)}; discounted reward within {ahead}: imagined {(imagined * gamma).sum(1).mean():.3f} real {(real * gamma).sum(1).mean():.3f}"
    )
    print(f"ends within: imagined {1 - goes[:, -1].mean():.3f} real {1 - going[:, -1].mean():.3f}")
    if out.state.alive is not None:
        lost = np.asarray(start.alive).sum() - np.asarray(out.last.alive).sum()
        real_alive = alive[e, t + ahead] & (going[:, -1:] > 0)
        print(
            f"allies left within: imagined {np.asarray(out.last.alive).sum(1).mean():.3f} real {real_alive.sum(1).mean():.3f} of {np.asarray(start.alive).sum(1).mean():.3f}; lost {lost / len(e):.3f}"
        )
    print(
        f"critic then (0 after ends): imagined {end_imagined.mean():.3f} real state {end_real.mean():.3f}; known futures: critic {end_real[known].mean():.3f} returns {np.nanmean(tail[known]):.3f}"
    )
    print(
        f"critic at start {value[e, t].mean():.3f}; known: {value[e, t][known].mean():.3f} returns {returns[e, t][known].mean():.3f}"
    )
    for k in (1, 3, 5, 10, 15):
        print(f"  reward at step {k}: imagined {imagined[:, k - 1].mean():.4f} real {real[:, k - 1].mean():.4f}")


if __name__ == "__main__":
    main(sys.argv[1])
