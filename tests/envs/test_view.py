"""Views: what is drawn is what is there, and what agents observe is read back as it was."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mag.envs
from mag.envs import smax
from mag.envs.jaxmarl import State
from mag.envs.smac_jax.battle import TICKS_PER_STEP
from mag.envs.smac_jax.loading import MAP_NAMES
from mag.envs.smac_jax.rules import RELOAD_VARIES
from mag.envs.smac_jax.view import SMACView
from mag.envs.view import FAMILIES, LEAST_HEALTH, NOBODY, Frame, Kind, Scene, Sight, place
from tests.support.smac_play import random_battles, smac

SCENE = Scene(10.0, 10.0, (), (), (Kind("a", 0.5, 100.0, 50.0), Kind("b", 1.0, 10.0, 0.0)), allies=2)
REAL = Frame(
    kind=jnp.array([0, 0, 1]),
    position=jnp.array([[1.0, 1.0], [3.0, 1.0], [5.0, 5.0]]),
    health=jnp.array([100.0, 100.0, 10.0]),
    shield=jnp.array([50.0, 50.0, 0.0]),
    target=jnp.array([2, NOBODY, 0]),
    cooldown=jnp.zeros(3),
)


def sight(seen, offset, own_position=None):
    """Both agents see the units at these offsets, at half health; the second sees a quarter of the enemy's."""
    health = jnp.array([[0.5, 0.5, 0.5], [0.5, 0.5, 0.25]])
    shield = jnp.array([[0.2, 0.2, 0.0], [0.2, 0.4, 0.0]])
    return Sight(jnp.array(seen), jnp.array(offset, jnp.float32), health, shield, own_position)


def test_units_are_placed_at_the_mean_of_where_agents_see_them_from_their_real_places():
    offset = [[[0, 0], [2, 1], [4, 4]], [[-2, 1], [0, 0], [3, 4]]]
    found = place(sight([[True] * 3] * 2, offset), REAL, SCENE)
    # Allies where the other sees them: (3, 1) + (-2, 1) and (1, 1) + (2, 1); the enemy between (5, 5) and (6, 5).
    np.testing.assert_allclose(found.position, [[1, 2], [3, 2], [5.5, 5]])
    # Shares of 100, 100 and 10 points, means over both agents; shields of 50, 50 and none.
    np.testing.assert_allclose(found.health, [50, 50, 3.75])
    np.testing.assert_allclose(found.shield, [10, 15, 0])
    np.testing.assert_array_equal(found.target, REAL.target)


def test_an_ally_that_nobody_else_sees_stays_and_the_unseen_are_dead():
    found = place(sight([[True, False, False], [False, True, False]], np.ones((2, 3, 2)) * 0.0), REAL, SCENE)
    np.testing.assert_allclose(found.position, REAL.position)
    np.testing.assert_allclose(found.health, [50, 50, 0])
    np.testing.assert_allclose(found.shield, [10, 20, 0])


def test_agents_that_know_where_they_are_count_themselves():
    offset = [[[0, 0], [2, 1], [4, 4]], [[-2, 1], [0, 0], [3, 4]]]
    own = jnp.array([[1.0, 1.0], [4.0, 1.0]])
    found = place(sight([[True] * 3] * 2, offset, own), REAL, SCENE)
    # (1, 1) and (4, 1) + (-2, 1); (1, 1) + (2, 1) and (4, 1); (1, 1) + (4, 4) and (4, 1) + (3, 4).
    np.testing.assert_allclose(found.position, [[1.5, 1.5], [3.5, 1.5], [6, 5]])


def test_the_seen_live_whatever_models_think_of_their_health():
    low = sight([[True] * 3] * 2, np.zeros((2, 3, 2)))._replace(health=jnp.full((2, 3), -0.3))
    np.testing.assert_allclose(place(low, REAL, SCENE).health, [100 * LEAST_HEALTH] * 2 + [10 * LEAST_HEALTH])
    high = low._replace(health=jnp.full((2, 3), 1.2))
    np.testing.assert_allclose(place(high, REAL, SCENE).health, [100, 100, 10])


def compare(view, states, obs):
    """Read observations `[moments, agents, ...]` back and compare them with the states they were made from."""
    frames = jax.vmap(view.frame)(states)
    sights = jax.vmap(view.sight)(obs)
    found = jax.vmap(lambda sight, frame: place(sight, frame, view.scene))(sights, frames)
    real, found, sights = jax.tree.map(np.asarray, (frames, found, sights))
    seen = found.health > 0
    np.testing.assert_allclose(found.position[seen], real.position[seen], atol=1e-4)
    np.testing.assert_allclose(found.health[seen], real.health[seen], rtol=1e-4)
    np.testing.assert_allclose(found.shield[seen], real.shield[seen], rtol=1e-4, atol=1e-4)
    # Every row by itself: an agent sees itself and who lives within sight, and neither when it is dead.
    allies = view.scene.allies
    offset = real.position[:, None] - real.position[:, :allies, None]
    alive = real.health > 0
    reach = np.linalg.norm(offset, axis=-1) < sight_ranges(view, real)[..., None]
    visible = (reach | np.eye(allies, offset.shape[2], dtype=bool)) & alive[:, None] & alive[:, :allies, None]
    np.testing.assert_array_equal(sights.seen, visible)
    np.testing.assert_allclose(sights.offset[visible], offset[visible], atol=1e-4)
    assert 0.1 < visible.mean() < 0.95
    return real


def sight_ranges(view, real):
    if isinstance(view, SMACView):
        return np.full(real.health[:, : view.scene.allies].shape, 9.0)
    return np.asarray(view.env.unit_type_sight_ranges)[real.kind[:, : view.scene.allies]]


@pytest.mark.parametrize(
    ("name", "battles"), [("3s_vs_5z", 4), pytest.param("3s5z_vs_3s6z", 2, marks=pytest.mark.slow)]
)
def test_smacs_observations_are_read_back(name, battles):
    env, moments = smac(name), random_battles(name, battles=battles, steps=60)
    view = SMACView(env.map, env.battle, env.layout)
    obs = jnp.stack([moments.obs[agent] for agent in env.agents], axis=2)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (moments.state, obs))
    real = compare(view, State(flat[0], jnp.zeros(len(flat[1]))), flat[1])
    units = jax.tree.map(np.asarray, flat[0].units)
    np.testing.assert_array_equal(real.position, units.position)
    np.testing.assert_array_equal(real.health, np.where(units.health > 0, units.health, 0))
    np.testing.assert_array_equal(real.target[:, env.num_agents :], units.target[:, env.num_agents :])
    # Attack actions begin at 6, and enemies are numbered after the allies.
    actions = np.asarray(flat[0].last_actions)
    attacks = actions >= 6
    assert attacks.any()
    np.testing.assert_array_equal(real.target[:, : env.num_agents][attacks], actions[attacks] - 6 + env.num_agents)
    assert (real.target[:, : env.num_agents][~attacks] == NOBODY).all()


def test_smacs_scene_has_the_maps_ground_and_types():
    env = smac("2c_vs_64zg")
    scene = SMACView(env.map, env.battle, env.layout).scene
    assert [kind.name for kind in scene.kinds] == ["colossus", "zergling"]
    assert scene.kinds[0].shield == 150 and scene.kinds[1].shield == 0
    assert scene.cliffs == env.map.cliffs and scene.walls == env.map.walls
    assert scene.allies == 2


@pytest.fixture(scope="module")
def battle():
    """SMAX's 3 Stalkers against 3 Zealots, played at random."""
    env = smax.make("3s_vs_3z", episode_limit=40)

    def step(carry, key):
        state, time_step = carry
        action = jax.random.categorical(key, jnp.where(time_step.avail, 0.0, -jnp.inf))
        carry = env.step(key, state, action)
        return carry, (carry, action)

    key = jax.random.key(2)
    (states, steps), actions = jax.jit(lambda: jax.lax.scan(step, env.reset(key), jax.random.split(key, 40))[1])()
    return env.view, states, steps, actions


def test_smaxs_observations_are_read_back(battle):
    view, states, steps, _ = battle
    real = compare(view, states, steps.obs)
    units = states.inner.state
    np.testing.assert_array_equal(real.position, units.unit_positions)
    np.testing.assert_array_equal(real.health > 0, units.unit_alive)
    assert [view.scene.kinds[kind].name for kind in real.kind[0]] == ["stalker"] * 3 + ["zealot"] * 3


def test_smaxs_targets_are_those_that_lose_health(battle):
    view, states, _, actions = battle
    frames = jax.tree.map(np.asarray, jax.vmap(view.frame)(states))
    ours = np.asarray(actions)
    np.testing.assert_array_equal(frames.target[:, :3], np.where(ours >= 5, ours - 5 + 3, NOBODY))
    assert ((frames.target[:, 3:] >= NOBODY) & (frames.target[:, 3:] < 3)).all()
    fired = np.diff(frames.cooldown, axis=0) > 0
    lost = np.diff(frames.health, axis=0) < 0
    at_the_edge = ((frames.position <= 0) | (frames.position >= 32)).any(-1)[1:]
    assert fired.any() and (lost & ~at_the_edge).any()
    for time, unit in zip(*np.nonzero(lost), strict=True):
        shooters = fired[time] & (frames.target[1:][time] == unit)
        assert shooters.any() or at_the_edge[time, unit]  # which kills
    for time, unit in zip(*np.nonzero(fired), strict=True):
        assert frames.target[1:][time, unit] != NOBODY


def test_no_weapon_is_fast_enough_to_hide_a_shot():
    # A weapon that was ready by tick k has at the end of the step's n ticks its reload time less n - k ticks left,
    # which is more than the k that it had at most before, if it reloads in more than n.
    for name in MAP_NAMES:
        battle = smac(name).battle
        assert (battle.kinds.cooldown / battle.tick_seconds + RELOAD_VARIES[0]).min() > TICKS_PER_STEP
    # SMAX looks whether a weapon is ready before its time runs on, so a tick less will do; it varies by -1, too.
    env = smax.make("corridor").view.env
    fastest = env.unit_type_weapon_cooldowns.min() / env.time_per_step - 1
    assert fastest >= env.world_steps_per_env_step - 1


@pytest.mark.parametrize("name", ["smac_jax/3s_vs_3z", "smax/3s_vs_3z", "probe/counter", "jaxmarl/switch_riddle"])
def test_families_with_a_view_are_those_that_say_so(name):
    has_view = getattr(mag.envs.make(name), "view", None) is not None
    assert has_view == (name.partition("/")[0] in FAMILIES)
