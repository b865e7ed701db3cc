"""The planner on toy models outside the package, where the best of L is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mag
from mag.planners.shooting import plan

KEY = jax.random.key(7)


def draw_once(key, state, action):
    """A toy model: the first step draws a place, further steps count on. States are dicts."""
    place = jnp.where(state["time"] == 0, jax.random.uniform(key), state["place"])
    return {"place": place, "time": state["time"] + 1, "sign": state["sign"]}


def start(sign=1.0):
    return {"place": jnp.zeros(()), "time": jnp.zeros((), jnp.int32), "sign": jnp.asarray(sign)}


def act_zero(key, state):
    return jnp.zeros((), jnp.int32)


def first_places(key, num_trajectories):
    """The places that the documented keys draw first."""
    return np.array([jax.random.uniform(k) for k in jax.random.split(key, num_trajectories + 1)[:-1]])


def planned(key, state, score, num_trajectories, horizon):
    return plan(
        key,
        state,
        jnp.zeros((), jnp.int32),
        predict=draw_once,
        act=act_zero,
        score=score,
        num_trajectories=num_trajectories,
        horizon=horizon,
    )


def test_it_is_public():
    assert mag.plan is plan and mag.Plan is type(planned(KEY, start(), lambda s: s["place"], 1, 1))


@functools.cache
def planner(num_trajectories, horizon):
    return jax.jit(lambda key: planned(key, start(), lambda s: s["place"], num_trajectories, horizon))


@settings(deadline=None, max_examples=12)
@given(sizes=st.sampled_from([(1, 3), (2, 1), (5, 2), (6, 4)]), seed=st.integers(0, 2**31 - 1))
def test_it_finds_the_known_best(sizes, seed):
    num_trajectories, horizon = sizes
    key = jax.random.key(seed)
    places = first_places(key, num_trajectories)
    chosen = planner(num_trajectories, horizon)(key)
    assert chosen.state["place"] == places.max()
    np.testing.assert_allclose(chosen.returns, horizon * places, rtol=1e-6)
    # It returns the first state of the trajectory, whatever the horizon.
    assert chosen.state["time"] == 1


def test_it_looks_ahead():
    def score(state):
        return jnp.where(state["time"] == 1, -state["place"], 2 * state["place"])

    places = first_places(KEY, 5)
    # Arrival by step the least place looks best; over two steps the score is -place + 2 place.
    assert planned(KEY, start(), score, 5, 1).state["place"] == places.min()
    assert planned(KEY, start(), score, 5, 2).state["place"] == places.max()


def test_each_start_state_chooses_for_itself():
    keys = jax.random.split(jax.random.key(1), 6)
    signs = np.array([1, -1] * 3, np.float32)
    chosen = jax.jit(jax.vmap(lambda key, sign: planned(key, start(sign), lambda s: s["sign"] * s["place"], 5, 3)))(
        keys, jnp.asarray(signs)
    )
    best = [first_places(k, 5).max() if s > 0 else first_places(k, 5).min() for k, s in zip(keys, signs, strict=True)]
    np.testing.assert_array_equal(chosen.state["place"], best)
    assert len(set(np.argmax(chosen.returns, 1).tolist())) > 1


def test_one_trajectory_is_one_prediction():
    expected = draw_once(jax.random.split(KEY, 2)[0], start(), jnp.zeros((), jnp.int32))
    for horizon in (1, 3):
        chosen = planned(KEY, start(), lambda s: -s["place"], 1, horizon)
        assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), chosen.state, expected))


def test_returns_sum_the_states_arrived_at_under_the_policy():
    chosen = plan(
        KEY,
        jnp.asarray(10.0),
        jnp.asarray(5.0),
        predict=lambda key, state, action: state + action,
        act=lambda key, state: state / 15,
        score=lambda state: state,
        num_trajectories=3,
        horizon=3,
    )
    # 10 -> 10 + 5 = 15, by the given action; then by the policy's, 15 -> 16 -> 16 + 16 / 15 = 17.066667.
    np.testing.assert_allclose(chosen.returns, [48.066667] * 3, rtol=1e-6)
    assert chosen.state == 15


def test_trajectories_differ_after_the_first_step_too():
    chosen = plan(
        KEY,
        jnp.zeros(2),
        None,
        predict=lambda key, state, action: state + jax.random.normal(key, (2,)) * (0 if action is None else 1),
        act=lambda key, state: jax.random.normal(key, (2,)),
        score=lambda state: state.sum(),
        num_trajectories=4,
        horizon=2,
    )
    assert len(set(np.asarray(chosen.returns).tolist())) == 4
    np.testing.assert_array_equal(chosen.state, [0, 0])


def test_the_policys_keys_are_not_the_models():
    seen = []

    def act(key, state):
        seen.append(key)
        return jax.random.uniform(key)

    chosen = plan(
        KEY,
        jnp.zeros(2),
        jnp.zeros(()),
        predict=lambda key, state, action: jnp.stack([jax.random.uniform(key), action]),
        act=act,
        score=lambda state: jnp.where(state[0] == state[1], 1.0, 0.0),
        num_trajectories=4,
        horizon=3,
    )
    assert seen and (chosen.returns == 0).all()


def test_the_same_under_jit():
    plain = planned(KEY, start(), lambda s: s["place"], 3, 2)
    compiled = jax.jit(lambda key, state: planned(key, state, lambda s: s["place"], 3, 2))(KEY, start())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), plain, compiled)


@pytest.mark.parametrize(
    ("num_trajectories", "horizon", "named"),
    [(0, 1, "num_trajectories must be at least 1, got 0"), (1, -3, "horizon must be at least 1, got -3")],
)
def test_bad_sizes_are_named(num_trajectories, horizon, named):
    with pytest.raises(ValueError, match=named):
        planned(KEY, start(), lambda s: s["place"], num_trajectories, horizon)


def draw_each(key, state, action):
    """A toy model of three agents: the first step draws each a place, the second moves all by a tenth of the sum."""
    places = jnp.where(state["time"][0] == 0, jax.random.uniform(key, (3,)), state["places"])
    moved = jnp.where(state["time"][0] == 0, places, places + places.sum() / 10)
    return {"places": moved, "time": state["time"] + 1}


@pytest.mark.parametrize("horizon", [1, 2])
def test_each_agent_chooses_its_own_best_where_it_has_a_score(horizon):
    start = {"places": jnp.zeros(3), "time": jnp.zeros(3, jnp.int32)}
    options = {"predict": draw_each, "act": act_zero, "num_trajectories": 4, "horizon": horizon, "choice": "own"}
    found = plan(KEY, start, jnp.zeros((), jnp.int32), score=lambda state: state["places"], **options)
    first = np.array([jax.random.uniform(key, (3,)) for key in jax.random.split(KEY, 5)[:-1]])
    # After two steps an agent has earned its place twice, and a tenth of the sum of all.
    returns = first if horizon == 1 else 2 * first + first.sum(1, keepdims=True) / 10
    np.testing.assert_allclose(found.returns, returns, rtol=1e-6)
    chosen = returns.argmax(0)
    assert len(set(chosen)) > 1
    np.testing.assert_allclose(found.state["places"], first[chosen, np.arange(3)], rtol=1e-6)
    alone = plan(KEY, start, jnp.zeros((), jnp.int32), score=lambda state: state["places"].sum(), **options)
    np.testing.assert_allclose(alone.state["places"], first[returns.sum(1).argmax()], rtol=1e-6)
