"""Every algorithm as a whole, in the debug preset on a probe; then what Algorithm 1 alone promises."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import keystr, tree_leaves_with_path

from mag import envs
from mag.algorithms.config import RunConfig
from mag.algorithms.contract import Algorithm
from mag.algorithms.mag.algorithm import MAG
from mag.algorithms.mag.config import MAGConfig
from mag.algorithms.on_policy.algorithm import OnPolicy
from mag.algorithms.registry import ALGORITHMS, default_config, make

pytestmark = pytest.mark.usefixtures("compile_quickly")

ENV = "probe/one-step"
LINES = ("_split", "_collect", "_fit_models", "_fit_model_reward", "_rollouts", "_fit_policy")
PARTS = {
    "mag": {"models", "model_reward", "policy", "critic", "rollout"},
    "mamba": {"models", "policy", "critic", "rollout"},
}
"""The parts of which an algorithm reports metrics; the baselines' are their policy and critic."""

UNTAUGHT = {
    "attention-ppo": {"actor.recurrence.hidden.weight", "critic.recurrence.hidden.weight"},
    "g2a": {
        *("recurrence.hidden.weight", "hard.forward.hidden.weight", "hard.backward.hidden.weight"),
        *("query.weight", "query.bias", "key.weight", "key.bias"),
    },
}
"""Parameters that nothing depends on here: what is made of a memory, which is blank where an agent of `ENV` acts
and where G2A's LSTMs read their only pair; and how much to heed which other agent where there is one."""


def build(algo, seeds):
    """An algorithm in the debug preset, and its state for the given seeds."""
    config = dataclasses.replace(default_config(algo, ENV, "debug"), num_seeds=len(seeds), seed=seeds[0])
    algorithm = make(config, envs.make(ENV))
    states = [algorithm.init(jax.random.key(seed)) for seed in seeds]
    return algorithm, jax.tree.map(lambda *x: jnp.stack(x), *states)


def iterate(algorithm, state, iterations):
    """The last state, and what each iteration reported."""
    reports = []
    for _ in range(iterations):
        state, *report = algorithm.iteration(state)
        reports.append(report)
    return state, reports


class Run:
    """Five iterations; MAG and MAMBA learn in the fourth and fifth, the others in all."""

    def __init__(self, algorithm, state):
        self.algorithm = algorithm
        self.before, self.parameters = self.policy_of(state), parameters(state)
        state, reports = iterate(self.algorithm, state, 3)
        self.unlearned = self.policy_of(state)
        self.state, more = iterate(self.algorithm, state, 2)
        self.reports = reports + more

    def policy_of(self, state):
        return jax.tree.map(np.asarray, self.algorithm.policy(state))


def parameters(state):
    """All that is learned, by name."""
    named = ((keystr(path, simple=True, separator="."), x) for path, x in tree_leaves_with_path(state))
    return {name: np.asarray(x) for name, x in named if "params." in name}


@functools.cache
def run_of(algo, seed):
    """The run of one seed; all seeds share their compiled programs."""
    algorithm, state = build(algo, [seed])
    return Run(run_of(algo, 3).algorithm if seed != 3 else algorithm, state)


@pytest.fixture(scope="module", params=ALGORITHMS)
def run(request):
    return run_of(request.param, 3)


@pytest.fixture(scope="module", params=["mag", "mamba"])
def mag_run(request):
    return run_of(request.param, 3)


@pytest.mark.slow
def test_metrics_are_finite_and_those_of_its_parts(run):
    for metrics, *_ in run.reports[3:]:
        assert all(x.shape == (1,) and math.isfinite(float(x[0])) for x in metrics.values())
        parts = {name.partition("/")[0] for name in metrics}
        assert parts == PARTS.get(run.algorithm.config.algo, {"policy", "critic"})
    numbers = [x for x in jax.tree.leaves(run.state) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert all(np.isfinite(x).all() for x in numbers)


@pytest.mark.slow
def test_every_parameter_is_learned_that_can_be(run):
    learned = parameters(run.state)
    unchanged = {name for name, x in run.parameters.items() if (x == learned[name]).all()}
    assert {name.partition("params.")[2] for name in unchanged} == UNTAUGHT.get(run.algorithm.config.algo, set())
    assert len(learned) > len(unchanged)


@pytest.mark.slow
def test_transitions_and_episodes_add_up(run):
    # An episode is three items (start, end, second absorbing item) of which one is a transition. In each of the
    # 4 environments items 1, 4, 7, ... of all 40 are: 13, since the last episode has just begun.
    transitions = [int(n[0]) for *_, n in run.reports]
    ended = [int(np.sum(episodes.ended)) for _, episodes, _ in run.reports]
    assert transitions == ended and sum(ended) == 4 * 13
    for _, episodes, _ in run.reports:
        assert episodes.ended.shape == (1, 8, 4)
        np.testing.assert_array_equal(episodes.length[episodes.ended], 1)
        np.testing.assert_array_equal(episodes.returned[episodes.ended] == 1, episodes.won[episodes.ended])


@pytest.mark.slow
def test_seeds_side_by_side_are_the_runs_of_each_seed():
    # Their random numbers are the same. On a CPU, where each has a thread, the parameters too come out bit for
    # bit; a matrix product batched over seeds may round differently, so only what was played is held to that.
    both = Run(*build("mamba", [3, 4]))
    alone = [run_of("mamba", seed) for seed in (3, 4)]
    for k, one in enumerate(alone):
        jax.tree.map(lambda a, b, k=k: np.testing.assert_array_equal(a[k], b[0]), both.before, one.before)
        for (_, together, n), (_, separate, m) in zip(both.reports[:4], one.reports[:4], strict=True):
            assert n[k] == m[0]
            jax.tree.map(lambda a, b, k=k: np.testing.assert_array_equal(a[k], b[0]), together, separate)
        jax.tree.map(
            lambda a, b, k=k: np.testing.assert_allclose(a[k], b[0], rtol=1e-3, atol=2e-3),
            both.policy_of(both.state),
            one.policy_of(one.state),
        )
    differ = jax.tree.map(lambda x: bool((x[0] != x[1]).any()), both.policy_of(both.state).actor)
    assert all(jax.tree.leaves(differ))


@pytest.fixture(scope="module", params=[algo for algo in ALGORITHMS if algo != "mag"])
def agent(request):
    """Algorithm, policy, and compiled `act` of one trainable joint agent; MAG's is MAMBA's."""
    algorithm, state = build(request.param, [0])
    policy = algorithm.policy(jax.tree.map(lambda x: x[0], state))
    act = jax.jit(algorithm.act, static_argnames="greedy")
    return algorithm, policy, lambda *args, greedy: act(*args, greedy=greedy)


def steps_of(algorithm, number):
    return jax.vmap(lambda key: algorithm.env.reset(key)[1])(jax.random.split(jax.random.key(1), number))


@pytest.mark.slow
def test_memory_is_reset_where_an_episode_starts(agent):
    algorithm, policy, act = agent
    timestep = jax.tree.map(lambda x: x[0], steps_of(algorithm, 1))
    initial = algorithm.initial_state()
    other = jax.tree.map(scrambled, initial)
    key = jax.random.key(0)
    from_initial, from_other = (act(key, policy, x, timestep, greedy=False) for x in (initial, other))
    same = jax.tree.map(lambda a, b: bool((a == b).all()), from_initial, from_other)
    assert all(jax.tree.leaves(same))
    going_on = timestep._replace(first=jnp.asarray(False))
    _, after = act(key, policy, other, going_on, greedy=False)
    kept = jax.tree.map(lambda a, b: bool((a != b).any()), after, from_other[1])
    assert any(jax.tree.leaves(kept))


def scrambled(x):
    """Other numbers of the same type; keys stay as they are."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x
    noise = np.random.default_rng(0).normal(size=x.shape)
    return jnp.asarray(noise, x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else jnp.ones_like(x)


@pytest.mark.slow
def test_only_available_actions_are_taken_and_remembered(agent):
    algorithm, policy, act = agent
    timesteps = steps_of(algorithm, 20)
    drawn = set()
    for i in range(20):
        timestep = jax.tree.map(lambda x, i=i: x[i], timesteps)
        for greedy in (True, False):
            action, memory = act(jax.random.key(i), policy, algorithm.initial_state(), timestep, greedy=greedy)
            assert np.take_along_axis(np.asarray(timestep.avail), np.asarray(action)[:, None], 1).all()
            np.testing.assert_array_equal(memory.previous_action, action)
            drawn.add((greedy, *np.asarray(action).tolist()))
    assert len(drawn) > 6


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_it_is_an_algorithm(algo):
    algorithm = make(default_config(algo, ENV, "debug"), envs.make(ENV))
    assert isinstance(algorithm, MAG if algo in ("mag", "mamba") else OnPolicy) and isinstance(algorithm, Algorithm)


def test_a_configuration_without_algorithm_is_refused():
    for config, message in ((RunConfig(), "RunConfig"), (MAGConfig(algo="MAG"), "algo 'MAG'")):
        with pytest.raises(TypeError, match=message):
            make(config, envs.make(ENV))


# Algorithm 1.


@pytest.mark.slow
def test_the_actors_running_mean_plays_greedily_and_only_then():
    algorithm, state = build("mamba", [0])
    policy = algorithm.policy(jax.tree.map(lambda x: x[0], state))
    act = jax.jit(
        lambda policy, timestep, greedy: algorithm.act(
            jax.random.key(2), policy, algorithm.initial_state(), timestep, greedy=greedy
        )[0],
        static_argnums=2,
    )
    acts = jax.vmap(act, (None, 0, None))
    timesteps, other = steps_of(algorithm, 50), jax.tree.map(scrambled, policy.actor)
    for greedy, reads, ignores in ((True, "greedy_actor", "actor"), (False, "actor", "greedy_actor")):
        action = np.asarray(acts(policy, timesteps, greedy))
        np.testing.assert_array_equal(action, acts(policy._replace(**{ignores: other}), timesteps, greedy))
        assert (action != acts(policy._replace(**{reads: other}), timesteps, greedy)).any()


@pytest.mark.slow
def test_learning_starts_when_enough_is_stored(mag_run):
    # 4 environments x 8 steps an iteration: 96 items after the third, 128 after the fourth; learning starts at 100.
    assert mag_run.algorithm.config.replay.learning_starts == 100
    assert [bool(metrics) for metrics, *_ in mag_run.reports] == [False, False, False, True, True]
    jax.tree.map(np.testing.assert_array_equal, mag_run.before, mag_run.unlearned)
    learned = mag_run.policy_of(mag_run.state)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), mag_run.before, learned)))
    assert (mag_run.state.model_reward is not None) == (mag_run.algorithm.config.algo == "mag")


@pytest.mark.slow
def test_nothing_is_compiled_twice(mag_run):
    compiled = {name: getattr(mag_run.algorithm, name)._cache_size() for name in LINES}
    expected = dict.fromkeys(LINES, 1)
    if mag_run.algorithm.config.algo == "mamba":
        expected["_fit_model_reward"] = 0
    assert compiled == expected
