"""Returns, masks, recurrent state and the update that the baselines share: hand numbers, loops and probes."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag import envs
from mag.algorithms.config import validate
from mag.algorithms.on_policy.agent import OnPolicyAgent, OnPolicyCarry, behaviour
from mag.algorithms.on_policy.algorithm import optimiser
from mag.algorithms.on_policy.commnet import CommNet
from mag.algorithms.on_policy.config import CommNetNetworksConfig, LearningConfig
from mag.algorithms.on_policy.segments import Segment, learning_batch, loss, segment_returns, segments_of, unroll
from mag.algorithms.registry import default_config, find, make
from mag.errors import UsageError
from mag.play.jax_player import JaxPlayer
from mag.types import Arrival
from tests.support import reference
from tests.support.small import SPEC, filled, random_batch

LEARNING = LearningConfig(gamma=0.5, gae_lambda=0.5, reward_scale=2.0, entropy=0.25, value_coefficient=0.5, clip=0.2)
NETWORKS = CommNetNetworksConfig(hidden=8)
NETWORK = filled(lambda key: CommNet(key, SPEC, NETWORKS))
NO_EPSILON = jnp.zeros(())
BASELINES = ("attention-ppo", "commnet", "g2a")


def build(algo, env, **learning):
    """An algorithm of size debug and the state of one seed."""
    config = default_config(algo, env, "debug", "paper")
    config = dataclasses.replace(config, learning=dataclasses.replace(config.learning, **learning))
    algorithm = make(config, envs.spec(env))
    return algorithm, algorithm.init.of_one_seed(jax.random.key(1))


def collecting(env, agent):
    """Environments at the start of their episodes, and a function that continues to play."""
    player = JaxPlayer(envs.make(env), num_envs=4, steps=8)
    play = jax.jit(player.collect.of_one_seed)
    return player.start.of_one_seed(jax.random.key(5), agent), lambda key, players: play(key, agent, players)


@pytest.mark.parametrize("algo", BASELINES)
def test_a_configuration_knows_its_method(algo):
    default = find(algo).config()
    published = default_config(algo, "probe/relay", "paper", "paper")
    assert default.algo == default_config(algo, "probe/relay", "small", "tuned").algo == algo
    assert default == dataclasses.replace(published, env=default.env, size="auto", recipe="auto")
    made = make(default, envs.spec("probe/relay"))
    assert made.network.__name__.lower() == algo.replace("-", "")


def segment_of(reward, followed, continues, alive):
    """A segment with only those fields that returns read; `[time + 1]` and `[time + 1, agents]`."""
    items, agents = np.shape(alive)
    steps = Arrival(
        obs=jnp.zeros((items, agents, 1)),
        avail=jnp.ones((items, agents, 2), bool),
        alive=jnp.asarray(alive, bool),
        previous_action=jnp.zeros((items, agents), jnp.int32),
        reward=jnp.asarray(reward, jnp.float32),
        continues=jnp.asarray(continues, jnp.float32),
        first=jnp.zeros(items, bool),
        state=None,
    )
    start = OnPolicyCarry(jnp.zeros((agents, 1)), jnp.zeros(agents, jnp.int32), jax.random.key(0))
    return Segment(start, steps, jnp.asarray(followed, bool))


def test_returns_by_hand():
    # Items: a start, a step, the time limit, a start, a real end, its second item, a start where the segment ends.
    followed = [True, True, False, True, False, False]
    reward, continues = [0, 1, 2, 0, 3, 0, 0], [1, 1, 1, 1, 0, 0, 1]
    value = jnp.array([[99.0], [4.0], [8.0], [16.0], [32.0], [64.0], [6.0]])
    segment = segment_of(reward, followed, continues, np.ones((7, 1)))
    # gamma = lambda = 1/2, rewards count twice:
    # R_5 = v_5 = 64 and R_4 = v_4 = 32, as nothing follows these items
    # R_3 = 6, as the episode ends
    # R_2 = v_2 = 8: the time limit cuts here
    # R_1 = 4 + (8 + 8) / 4 = 8: its last observation is bootstrapped from
    # R_0 = 2 + (4 + 8) / 4 = 5
    np.testing.assert_allclose(segment_returns(value, segment, LEARNING)[:, 0], [5, 8, 8, 6, 32, 64])
    # A segment that ends inside an episode is bootstrapped from its last item: 2 * 1 + 4 / 2.
    cut = segment_of([0, 1], [True], [1, 1], np.ones((2, 1)))
    np.testing.assert_allclose(segment_returns(value[:2], cut, LEARNING), [[4]])


def test_returns_of_agents_with_their_own_rewards_by_hand():
    # Rewards count twice, gamma = lambda = 1/2; the dead second agent is worth nothing, yet paid for what follows.
    segment = segment_of([[0, 0], [1, -1], [3, 2]], [True, True], [1, 1, 0], [[1, 1], [1, 0], [0, 0]])
    value = jnp.array([[1.0, 2], [4.0, 100], [50.0, 60]])
    # The last rewards count 6 and 4. Before them 2 + (4 + 6) / 4 and -2 + (0 + 4) / 4.
    np.testing.assert_allclose(segment_returns(value, segment, LEARNING), [[4.5, -1], [6, 4]])


def test_the_value_of_the_dead_is_that_of_the_living():
    alive = [[1, 1, 1], [1, 0, 1], [0, 0, 0]]
    value = jnp.array([[1.0, 2, 3], [4.0, 100, 8], [50.0, 60, 70]])
    segment = segment_of([0, 0, 3], [True, True], [1, 1, 0], alive)
    # At the second item agent 1 is dead, and worth (4 + 8) / 2; the third item is the end: R_1 = 6.
    returns = segment_returns(value, segment, LEARNING)
    np.testing.assert_allclose(returns, [[0.25 * (4 + 6), 0.25 * (6 + 6), 0.25 * (8 + 6)], [6, 6, 6]])


def test_the_behaviour_mixes_in_uniform_play():
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]))
    avail = jnp.array([[True, True, False], [True, True, True]])
    # The first agent's policy is (2/3, 1/3, 0) among what it may do, and uniform play (1/2, 1/2, 0).
    mixed = jnp.exp(behaviour(logits, avail, jnp.asarray(0.3)))
    expected = [[0.7 * 2 / 3 + 0.15, 0.7 / 3 + 0.15, 0], [0.24, 0.24, 0.52]]
    np.testing.assert_allclose(mixed, expected, rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(behaviour(logits, avail, NO_EPSILON))[0], [2 / 3, 1 / 3, 0], rtol=1e-5)
    gradient = jax.grad(lambda logits: behaviour(logits, avail, NO_EPSILON)[0, 0])(logits)
    np.testing.assert_allclose(gradient, [[1 / 3, -1 / 3, 0], [0, 0, 0]], atol=1e-6)


def random_segments(seed, firsts):
    """Segments `[envs, ...]` of random steps, agents dying at random; no transition leads to an episode's start."""
    steps = random_batch(seed, firsts)
    rng = np.random.default_rng(seed)
    steps = steps._replace(alive=jnp.asarray(rng.random(steps.alive.shape) < 0.7))
    count = len(steps.first)
    start = OnPolicyCarry(
        jax.tree.map(
            lambda x: jnp.asarray(rng.normal(size=(count, *x.shape)), jnp.float32),
            CommNet.initial_carry(SPEC, NETWORKS),
        ),
        jnp.zeros((count, SPEC.n_agents), jnp.int32),
        jax.random.split(jax.random.key(0), count),
    )
    return Segment(start, steps, ~steps.first[:, 1:])


SEGMENTS = random_segments(0, [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1], [1, 0, 0, 1, 0]])


@pytest.fixture(scope="module")
def batch():
    return jax.jit(lambda: learning_batch(NETWORK, None, SEGMENTS, LEARNING, NO_EPSILON))()


def test_advantages_are_normalised_where_they_count(batch):
    counted = np.asarray(batch.advantage)[np.asarray(batch.weight) == 1]
    np.testing.assert_allclose([counted.mean(), counted.std()], [0, 1], atol=1e-3)
    _, value = jax.jit(jax.vmap(lambda segment: unroll(NETWORK, segment)))(SEGMENTS)
    plain = np.asarray(batch.returns - value[:, :-1])
    inside = plain[np.asarray(batch.weight) == 1]
    np.testing.assert_allclose(batch.advantage, (plain - inside.mean()) / (inside.std() + 1e-4), rtol=1e-3, atol=1e-4)


def test_only_the_living_before_a_transition_count(batch):
    expected = np.asarray(SEGMENTS.arrivals.alive)[:, :-1] & ~np.asarray(SEGMENTS.arrivals.first)[:, 1:, None]
    np.testing.assert_array_equal(batch.weight, expected)
    assert 0 < expected.mean() < 1


def test_loss_against_a_loop(batch):
    other = filled(lambda key: CommNet(key, SPEC, NETWORKS), seed=1)
    logits, value = jax.jit(jax.vmap(lambda segment: unroll(other, segment)))(SEGMENTS)
    surrogates, entropies, errors = [], [], []
    for e, t, i in np.argwhere(np.asarray(batch.weight) == 1):
        avail = np.asarray(SEGMENTS.arrivals.avail[e, t, i])
        logs = reference.log_softmax(np, np.where(avail | ~avail.any(), logits[e, t, i], -1e10))
        action = int(SEGMENTS.arrivals.previous_action[e, t + 1, i])
        with np.errstate(over="ignore"):
            ratio = np.exp(logs[action] - float(batch.log_prob[e, t, i]))
        advantage = float(batch.advantage[e, t, i])
        surrogates.append(-min(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage))
        entropies.append(-(np.exp(logs) * logs).sum())
        errors.append(0.5 * (float(value[e, t, i]) - float(batch.returns[e, t, i])) ** 2)
    found, metrics = jax.jit(lambda: loss(other, batch, LEARNING, NO_EPSILON))()
    np.testing.assert_allclose(metrics["policy/loss"], np.mean(surrogates), rtol=1e-4)
    np.testing.assert_allclose(metrics["critic/loss"], np.mean(errors), rtol=1e-4)
    expected = np.mean(surrogates) - 0.25 * np.mean(entropies) + 0.5 * np.mean(errors)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_what_the_dead_do_and_what_nothing_follows_teaches_nothing(batch):
    counts = np.asarray(batch.weight)[..., None] == 1
    # Other actions and masks where nothing counts; the network of this test reads neither.
    steps = SEGMENTS.arrivals
    action = np.array(steps.previous_action)
    action[:, 1:] = np.where(counts[..., 0], action[:, 1:], 2)
    avail = np.array(steps.avail)
    avail[:, :-1] = np.where(counts, avail[:, :-1], True)
    changed = steps._replace(previous_action=jnp.asarray(action), avail=jnp.asarray(avail))
    assert (np.asarray(changed.previous_action) != np.asarray(steps.previous_action)).any()
    other = batch._replace(segment=SEGMENTS._replace(arrivals=changed))
    gradient = jax.jit(jax.grad(lambda network, batch: loss(network, batch, LEARNING, NO_EPSILON)[0]))
    jax.tree.map(np.testing.assert_array_equal, gradient(NETWORK, batch), gradient(NETWORK, other))


def test_the_recurrent_state_goes_on_until_an_episode_starts():
    start = SEGMENTS.start
    other = SEGMENTS._replace(start=start._replace(recurrent=jax.tree.map(lambda x: -x, start.recurrent)))
    run = jax.jit(jax.vmap(lambda segment: unroll(NETWORK, segment)))
    for one, another in zip(run(SEGMENTS), run(other), strict=True):
        differs = np.abs(np.asarray(one - another)).reshape(*one.shape[:2], -1).max(-1) > 0
        np.testing.assert_array_equal(differs, np.cumsum(SEGMENTS.arrivals.first, 1) == 0)


@pytest.mark.parametrize("algo", BASELINES)
def test_learning_replays_what_was_played(algo):
    # A policy so sure that it always takes its likeliest action. Learning finds the same actions likeliest, at
    # items of two turns, inside of which episodes start: it remembers and draws (G2A's gates) what acting did.
    algorithm, _ = build(algo, "probe/memory", epsilon=0.0)
    networks = algorithm.config.networks
    network = filled(lambda key: algorithm.network(key, algorithm.spec, networks), scale=4.0)
    agent = OnPolicyAgent(network, network, NO_EPSILON, algorithm.spec, networks)
    players, play = collecting("probe/memory", agent)
    for turn in range(2):
        players, played = play(jax.random.key(turn), players)
        segments = segments_of(played)
        logits, _ = jax.jit(jax.vmap(lambda segment: unroll(network, segment)))(segments)
        chance = jax.nn.softmax(logits[:, :-1])
        done = np.asarray(segments.arrivals.previous_action)[:, 1:]
        followed = np.asarray(segments.has_next)
        certain = (np.asarray(chance).max(-1) > 0.999) & followed[..., None]
        assert certain.mean() > 0.1
        np.testing.assert_array_equal(done[certain], np.asarray(chance).argmax(-1)[certain])


@pytest.mark.parametrize(("env", "bootstrapped"), [("probe/counter", False), ("probe/clock", True)])
def test_a_time_limit_is_bootstrapped_from_and_an_end_is_not(env, bootstrapped):
    algorithm, state = build("commnet", env)
    players, play = collecting(env, algorithm.agent(state))
    _, played = play(jax.random.key(0), players)
    segments = segments_of(played)
    config = LearningConfig(gamma=0.5, gae_lambda=0.0)
    value = jnp.full((4, 9, 2), 8.0)
    returns = jax.vmap(lambda value, segment: segment_returns(value, segment, config))(value, segments)
    # Item 4 leads to item 5, the last of the first episode: its reward, and half of 8 unless it is an end.
    reward = np.asarray(segments.arrivals.reward)[:, 5]
    np.testing.assert_allclose(returns[:, 4, 0], reward + 4 * bootstrapped)
    # Item 5 is followed by a start (or by the second absorbing item, then a start).
    gap = 1 if bootstrapped else 2
    expected = np.ones((4, 8), bool)
    expected[:, 5 : 5 + gap] = False
    np.testing.assert_array_equal(segments.has_next, expected)
    assert int(played.transitions.sum()) == 4 * 5 + 4 * (7 - 5 - gap)


def test_the_critic_has_its_own_learning_rate():
    config = LearningConfig(optimiser="rmsprop", learning_rate=1e-2, critic_learning_rate=1.0, max_grad_norm=1e9)
    algorithm, _ = build("g2a", "probe/relay")
    network = jax.tree.map(jnp.zeros_like, algorithm.init.of_one_seed(jax.random.key(0)).network.params)
    rule = optimiser(config)
    ones = jax.tree.map(jnp.ones_like, network)
    updates, _ = jax.jit(rule.update)(ones, rule.init(network), network)
    # RMSprop's first step of a gradient of 1, whose mean square is 0.01: 10 learning rates.
    for part, rate in ((updates.critic, 1.0), (updates.head, 1e-2), (updates.hard, 1e-2)):
        for leaf in jax.tree.leaves(part):
            np.testing.assert_allclose(leaf, -10 * rate, rtol=1e-3)


@pytest.mark.slow
def test_the_target_is_copied_every_so_many_updates():
    algorithm, state = build("g2a", "probe/relay", target_every=3)
    assert algorithm.config.learning.epochs == 1
    players, play = collecting("probe/relay", algorithm.agent(state))
    learn = jax.jit(algorithm.learn.of_one_seed)
    targets = [state.target]
    for turn in range(3):
        players, played = play(jax.random.key(turn), players)
        state, _ = learn(jax.random.key(turn), state, played, NO_EPSILON)
        targets.append(state.target)

    def equal(a, b):
        return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))

    assert [equal(a, b) for a, b in itertools.pairwise(targets)] == [True, True, False]
    assert equal(targets[-1], state.network.params)


def test_exploration_decays_linearly_to_its_end():
    algorithm, _ = build("g2a", "probe/relay", epsilon=0.5, epsilon_end=0.02, epsilon_steps=100)
    np.testing.assert_allclose(algorithm.epsilon(jnp.array([0, 50, 100, 1000])), [0.5, 0.26, 0.02, 0.02], rtol=1e-6)


@pytest.mark.parametrize(
    ("learning", "message"),
    [
        ({"minibatches": 3}, "collect.num_envs is 4 and learning.minibatches 3; the minibatches must divide"),
        ({"gae_lambda": 1.5}, "learning.gae_lambda is 1.5; it must be at least 0 and at most 1"),
        ({"epsilon": -0.1}, "learning.epsilon is -0.1"),
    ],
)
def test_impossible_numbers_are_refused(learning, message):
    config = default_config("commnet", "probe/relay", "debug", "paper")
    with pytest.raises(UsageError, match=message):
        validate(dataclasses.replace(config, learning=dataclasses.replace(config.learning, **learning)))
