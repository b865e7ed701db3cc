"""JaxMARL's other tasks behind the same adapter: ends, masks, padding, rewards."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mag.envs
from mag.envs import jaxmarl
from mag.errors import UsageError


class Toy:
    """A task with JaxMARL's interface: unlike sizes, unlike rewards, Python numbers in its state."""

    agents = ("short", "long")

    def action_space(self, agent):
        return types.SimpleNamespace(n={"short": 2, "long": 3}[agent])

    def reset(self, key):
        return self.observe(1), {"step": 0, "done": False}

    def step_env(self, key, state, actions):
        step = state["step"] + 1
        rewards = {"short": 1 * actions["short"], "long": 2.0 * actions["long"], "__all__": 9}
        done = {"__all__": step >= 3}
        return self.observe(step), {"step": step, "done": done["__all__"]}, rewards, done, {}

    def observe(self, value):
        return {
            "short": jnp.full(2, value, jnp.uint8),
            "long": jnp.full((2, 2), value, jnp.uint8),
        }


def ends(env, state, action, steps):
    """(terminated, truncated) after each of `steps` steps of the same joint action."""

    def one_step(state, key):
        state, time_step = env.step(key, state, action)
        return state, (time_step.terminated, time_step.truncated)

    def play(state):
        return jax.lax.scan(one_step, state, jax.random.split(jax.random.key(0), steps))[1]

    return [(bool(a), bool(b)) for a, b in zip(*jax.jit(play)(state), strict=True)]


def test_sizes_are_padded_and_rewards_averaged():
    env = jaxmarl.JaxMarlEnv("toy/toy", Toy(), episode_limit=9)
    assert (env.spec.obs_dim, env.spec.n_actions, env.spec.has_masks) == (4, 3, True)
    state, first = env.reset(jax.random.key(0))
    assert first.obs.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert first.avail.tolist() == [[True, True, False], [True, True, True]]
    _, later = env.step(jax.random.key(0), state, jnp.array([1, 2]))
    # Rewards 1 and 4.
    assert float(later.reward) == 2.5
    assert (later.obs.dtype, later.reward.dtype) == (jnp.float32, jnp.float32)


@pytest.mark.parametrize(
    ("limit", "own_end", "expected"),
    [
        (9, True, [(False, False), (False, False), (True, False)]),
        (2, True, [(False, False), (False, True)]),
        # The real end and the limit in the same step: it ended.
        (3, True, [(False, False), (False, False), (True, False)]),
        # `done` only says that time is up.
        (3, False, [(False, False), (False, False), (False, True)]),
    ],
)
def test_an_end_is_told_from_the_limit(limit, own_end, expected):
    rules = jaxmarl.Rules(ends=own_end)
    env = jaxmarl.JaxMarlEnv("toy/toy", Toy(), episode_limit=limit, rules=rules)
    state, _ = env.reset(jax.random.key(0))
    assert ends(env, state, jnp.array([0, 0]), len(expected)) == expected


def test_continuous_actions_are_refused():
    toy = Toy()
    toy.action_space = lambda agent: types.SimpleNamespace(shape=(5,))
    with pytest.raises(UsageError, match=r"toy/toy.*'short'.*Discrete"):
        jaxmarl.JaxMarlEnv("toy/toy", toy, episode_limit=9)


def test_dict_observations_are_refused():
    toy = Toy()
    toy.observe = lambda value: {"short": jnp.zeros(2), "long": {"near": jnp.zeros(2), "far": jnp.zeros(2)}}
    with pytest.raises(UsageError, match=r"toy/toy.*observation of 'long' is of type dict; flatten"):
        jaxmarl.JaxMarlEnv("toy/toy", toy, episode_limit=9)
    toy.observe = lambda value: jnp.zeros((2, 4))
    with pytest.raises(UsageError, match=r"toy/toy.*observation of 'short' is missing; flatten"):
        jaxmarl.JaxMarlEnv("toy/toy", toy, episode_limit=9)


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("MPE_simple_crypto_v3", [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),  # eve against alice and bob
        ("SMAX", [[1, 0]] * 5 + [[0, 1]] * 5),  # both sides are agents
        ("coin_game", [[]] * 2),
    ],
)
def test_agents_that_compete_keep_their_rewards_and_see_their_roles(name, roles):
    env = jaxmarl.JaxMarlEnv("my_tasks/mine", jaxmarl.import_jaxmarl().make(name), episode_limit=9)
    assert not env.spec.team_reward and env.spec.reward_shape == (len(roles),)
    width = len(roles[0])
    first = jax.eval_shape(lambda key: env.reset(key)[1], jax.random.key(0))
    assert first.obs.shape == (len(roles), env.spec.obs_dim) and first.reward.shape == (len(roles),)
    np.testing.assert_array_equal(env._roles, np.reshape(roles, (len(roles), width)))


def test_a_chase_pays_the_hunters_what_it_costs_the_hunted():
    env = mag.envs.make("jaxmarl/MPE_simple_tag_v3")
    state, first = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(first.reward, [0, 0, 0, 0])
    np.testing.assert_array_equal(first.obs[:, -2:], [[1, 0], [1, 0], [1, 0], [0, 1]])
    # All hunters lie on the hunted, in the middle of the field: three collisions of 10 points each.
    place = state.inner.p_pos.at[:4].set(0.0)
    state = state._replace(inner=state.inner.replace(p_pos=place, p_vel=jnp.zeros_like(state.inner.p_vel)))
    _, later = env.step(jax.random.key(0), state, jnp.zeros(4, jnp.int32))
    np.testing.assert_allclose(later.reward, [30, 30, 30, -30])


def test_a_team_of_adversaries_alone_does_not_compete():
    toy = Toy()
    toy.agents, toy.num_adversaries = ("adversary_0", "adversary_1"), 2
    toy.action_space = lambda agent: types.SimpleNamespace(n=2)
    toy.observe = lambda value: {agent: jnp.zeros(2) for agent in toy.agents}
    toy.step_env = lambda key, state, actions: (toy.observe(0), state, {}, {"__all__": False}, {})
    assert jaxmarl.JaxMarlEnv("toy/toy", toy, episode_limit=9).spec.n_agents == 2


def test_equal_rewards_are_not_rounded():
    env = jaxmarl.JaxMarlEnv("toy/toy", Toy(), episode_limit=9)
    tenth = jnp.float32(0.1)
    assert env._reward({"short": tenth, "long": tenth}) == tenth


def test_particles_are_truncated_after_25_steps():
    env = mag.envs.make("jaxmarl/MPE_simple_spread_v3")
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    assert ends(env, state, jnp.zeros(3, jnp.int32), 25) == [(False, False)] * 24 + [(False, True)]


def test_the_speaker_has_no_actions_beyond_its_three_words():
    env = mag.envs.make("jaxmarl/MPE_simple_speaker_listener_v4")
    state, first = jax.jit(env.reset)(jax.random.key(0))
    _, later = jax.jit(env.step)(jax.random.key(0), state, jnp.array([2, 4]))
    for time_step in (first, later):
        assert time_step.avail.tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    # The speaker's 3 numbers are padded to the listener's 11, whose last 3 are the word said.
    assert later.obs[0, 3:].tolist() == [0] * 8
    assert later.obs[1, -3:].tolist() == [0, 0, 1]


def test_the_riddle_ends_by_telling_or_is_cut():
    nothing, tell = jnp.zeros(3, jnp.int32), jnp.full(3, 2)
    env = mag.envs.make("jaxmarl/switch_riddle")
    state, _ = env.reset(jax.random.key(0))
    assert ends(env, state, nothing, 6) == [(False, False)] * 5 + [(False, True)]
    _, told = env.step(jax.random.key(0), state, tell)
    assert (bool(told.terminated), bool(told.truncated), float(told.reward)) == (True, False, -1)
    _, told = env.step(jax.random.key(0), state._replace(time=jnp.int32(5)), tell)
    assert (bool(told.terminated), bool(told.truncated)) == (True, False)


def test_overcooked_is_cut_after_400_steps():
    env = mag.envs.make("jaxmarl/overcooked")
    state, first = jax.jit(env.reset)(jax.random.key(0))
    assert float(first.obs.max()) >= 1
    late = state._replace(time=jnp.int32(398), inner=state.inner.replace(step=jnp.asarray(398, state.inner.step.dtype)))
    assert ends(env, late, jnp.full(2, 4), 2) == [(False, False), (False, True)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hanabi", "hanabi_5"])
def test_hanabi_takes_turns_and_ends_within_its_limit(name):
    env = mag.envs.make(f"jaxmarl/{name}")
    assert env.spec == mag.envs.spec(f"jaxmarl/{name}")

    def one_step(carry, key):
        state, time_step, over = carry
        action = jax.random.categorical(key, jnp.where(time_step.avail, 0.0, -jnp.inf))
        state, after = env.step(key, state, action)
        return (state, after, over | after.terminated), (time_step.avail, after, over)

    def episode(key):
        key_reset, key_play = jax.random.split(key)
        start = (*env.reset(key_reset), jnp.zeros((), bool))
        return jax.lax.scan(one_step, start, jax.random.split(key_play, env.spec.episode_limit))[1]

    avail, steps, over = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(0), 16))
    # All but one have the no-op alone, that one everything but it.
    waiting = avail[..., -1] & (avail.sum(-1) == 1)
    np.testing.assert_array_equal(waiting.sum(-1)[~over], env.spec.n_agents - 1)
    assert bool(steps.terminated.any(1).all())
    assert not bool((steps.truncated & ~over).any())
