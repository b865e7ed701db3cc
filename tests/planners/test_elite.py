"""Elite resampling on a toy of safe and lucky first states, where its choices have known chances."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.planners import elite, shooting
from mag.planners.contract import Planner

KEY = jax.random.key(7)


def gamble(key, state, action):
    """A toy model: the first step draws whether a state is risky, further steps whether its future is lucky."""
    drawn = jax.random.bernoulli(key)
    began = state["time"] > 0
    return {
        "time": state["time"] + 1,
        "risky": jnp.where(began, state["risky"], drawn),
        "luck": jnp.where(began & state["risky"], drawn, False),
    }


def start():
    return {"time": jnp.zeros((), jnp.int32), "risky": jnp.asarray(False), "luck": jnp.asarray(False)}


def pay(state):
    """A safe state pays 1 after the first step; a risky one 1.4 or nothing, with equal chances: 0.7 on average."""
    return jnp.where(state["time"] == 1, 0.0, jnp.where(state["risky"], 1.4 * state["luck"], 1.0))


MODEL = {"predict": gamble, "act": lambda key, state: jnp.zeros((), jnp.int32), "score": pay}


def planned(plan, key, **sizes):
    return plan(key, start(), jnp.zeros((), jnp.int32), **MODEL, **sizes)


@functools.cache
def shares(num_rounds):
    """How often shooting, and elite resampling with `num_rounds` rounds, choose the risky one of two first states."""
    keys = jax.random.split(jax.random.key(0), 4000)
    plans = (
        functools.partial(planned, shooting.plan, num_trajectories=2, horizon=2),
        functools.partial(planned, elite.plan, num_trajectories=2, horizon=2, num_elites=2, num_rounds=num_rounds),
    )
    # Documented: the first predictions are drawn with these keys.
    first = jax.vmap(lambda key: jax.vmap(jax.random.bernoulli)(jax.random.split(key, 3)[:2]))(keys)
    mixed = np.asarray(first[:, 0] != first[:, 1])
    return [np.asarray(jax.jit(jax.vmap(plan))(keys).state["risky"])[mixed].mean() for plan in plans]


# About 2000 of the keys draw one state of each kind; the standard error of a share is at most 0.011.


def test_shooting_falls_for_a_lucky_future():
    # Its only future is lucky half of the time: 1.4 > 1.
    assert shares(2)[0] == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(("num_rounds", "chance"), [(2, 1 / 4), (3, 1 / 8)])
def test_elite_resampling_has_to_be_lucky_in_every_round(num_rounds, chance):
    # Each round rolls one future from each: luck in 1 of 2 is worth 0.7, in 2 of 3 0.93, less than the safe 1.
    assert shares(num_rounds)[1] == pytest.approx(chance, abs=0.03)


def test_elites_count_alike_though_futures_do_not_divide():
    # Three futures for two elites: the first gets two of them, and must not be chosen for that.
    keys = jax.random.split(jax.random.key(1), 2000)
    sizes = {"num_trajectories": 3, "horizon": 2}
    plans = (
        functools.partial(planned, shooting.plan, **sizes),
        functools.partial(planned, elite.plan, num_elites=2, num_rounds=2, **sizes),
    )
    shot, chosen = (np.asarray(jax.jit(jax.vmap(plan))(keys).state["risky"]).mean() for plan in plans)
    assert chosen < shot - 0.1


def test_it_finds_the_best_first_state_among_many():
    keys = jax.random.split(jax.random.key(1), 1000)

    def risky(plan, **sizes):
        run = functools.partial(planned, plan, num_trajectories=8, horizon=2, **sizes)
        return float(jax.jit(jax.vmap(run))(keys).state["risky"].mean())

    # Shooting takes a risky state if one of eight is risky and lucky: 1 - (3/4)^8 = 0.90.
    assert risky(shooting.plan) == pytest.approx(0.90, abs=0.04)
    assert risky(elite.plan, num_elites=2, num_rounds=8) < 0.4
    assert risky(elite.plan, num_elites=4, num_rounds=16) < 0.05


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 4, 1), (5, 1, 3), (6, 4, 6)])
def test_one_round_is_random_shooting(sizes):
    num_trajectories, horizon, num_elites = sizes
    expected = planned(shooting.plan, KEY, num_trajectories=num_trajectories, horizon=horizon)
    found = planned(
        elite.plan, KEY, num_trajectories=num_trajectories, horizon=horizon, num_elites=num_elites, num_rounds=1
    )
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("num_rounds", [1, 3])
def test_one_trajectory_is_one_prediction(num_rounds):
    expected = gamble(jax.random.split(KEY, 2)[0], start(), jnp.zeros((), jnp.int32))
    for horizon in (1, 3):
        found = planned(elite.plan, KEY, num_trajectories=1, horizon=horizon, num_elites=1, num_rounds=num_rounds)
        jax.tree.map(np.testing.assert_array_equal, found.state, expected)


def test_without_a_future_rounds_change_nothing():
    # With H = 1 nothing follows the first states; their scores are drawn once.
    def draw(key, state, action):
        return jax.random.uniform(key)

    def run(num_rounds):
        sizes = {"num_trajectories": 6, "horizon": 1, "num_elites": 2, "num_rounds": num_rounds}
        model = {"predict": draw, "act": lambda key, state: 0, "score": lambda state: state}
        return elite.plan(KEY, jnp.zeros(()), 0, **model, **sizes)

    one, three = run(1), run(3)
    assert one.state == one.returns.max()
    np.testing.assert_allclose(three.state, one.state, rtol=1e-6)
    np.testing.assert_allclose(three.returns, one.returns, rtol=1e-6)


def test_the_returns_are_means_over_the_futures_of_each_first_state():
    # States count up from 10: each trajectory sums 15, 16 and 17.0667, whatever the round; the means stay.
    found = elite.plan(
        KEY,
        jnp.asarray(10.0),
        jnp.asarray(5.0),
        predict=lambda key, state, action: state + action,
        act=lambda key, state: state / 15,
        score=lambda state: state,
        num_trajectories=3,
        horizon=3,
        num_elites=2,
        num_rounds=4,
    )
    np.testing.assert_allclose(found.returns, [48.066667] * 3, rtol=1e-6)
    assert found.state == 15


def test_the_same_under_jit():
    sizes = {"num_trajectories": 4, "horizon": 3, "num_elites": 2, "num_rounds": 3}
    plain = planned(elite.plan, KEY, **sizes)
    compiled = jax.jit(lambda key: planned(elite.plan, key, **sizes))(KEY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), plain, compiled)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 1, 1, 1), "num_trajectories must be at least 1, got 0"),
        ((2, 0, 1, 1), "horizon must be at least 1, got 0"),
        ((2, 1, 0, 1), "num_elites must be at least 1, got 0"),
        ((2, 1, 1, 0), "num_rounds must be at least 1, got 0"),
        ((2, 1, 3, 1), "num_elites is 3; it can be at most num_trajectories, 2"),
    ],
)
def test_bad_sizes_are_named(sizes, message):
    names = ("num_trajectories", "horizon", "num_elites", "num_rounds")
    with pytest.raises(ValueError, match=message):
        planned(elite.plan, KEY, **dict(zip(names, sizes, strict=True)))


def test_both_are_planners():
    assert isinstance(elite.plan, Planner) and isinstance(shooting.plan, Planner)


def test_elites_are_the_teams():
    options = {"num_trajectories": 2, "horizon": 1, "num_elites": 1, "num_rounds": 1}
    with pytest.raises(ValueError, match="scores trajectories for the team: score has to return one number"):
        elite.plan(
            KEY,
            jnp.zeros(2),
            jnp.zeros(()),
            predict=lambda key, state, action: state,
            act=lambda key, state: jnp.zeros(()),
            score=lambda state: state,
            **options,
        )
