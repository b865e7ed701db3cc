"""Every algorithm as a whole, in the debug size on a probe; then properties of Algorithm 1 alone."""

import dataclasses
import functools
import math
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import keystr, tree_leaves_with_path

from mag import envs
from mag.algorithms.contract import Algorithm, ModelBased
from mag.algorithms.mag.algorithm import MAG, MAGState
from mag.algorithms.mag.config import MAGConfig
from mag.algorithms.mag.policy_update import PolicyState
from mag.algorithms.on_policy.algorithm import OnPolicy
from mag.algorithms.registry import ALGORITHMS, default_config, make
from mag.errors import UsageError
from mag.learning.optimise import MovingAverage, Trainable
from mag.options import override
from mag.play.collecting import Played
from mag.runs.setup import RunState, set_up
from mag.runtime import own_cores

ENV = "probe/one-step"
LINES = ("split", "add", "fit_models", "fit_model_reward", "rollouts", "fit_policy")
PARTS = {
    "mag": {"models", "model_reward", "policy", "critic", "rollout"},
    "mamba": {"models", "policy", "critic", "rollout"},
}
"""The parts of which an algorithm reports metrics; the baselines' are their policy and critic."""

EVENTS = {
    "events.life_given_component",
    *(f"events.{net}.layers.{i}.{part}" for net in ("choice", "life") for i in (0, 1) for part in ("weight", "bias")),
}
"""The chances of joint events: the mixture has one component, and whoever acts in `ENV` sees the episode end."""

UNTAUGHT = {
    "mag": EVENTS,
    "mamba": EVENTS,
    "attention-ppo": {"actor.recurrence.hidden.weight", "critic.recurrence.hidden.weight"},
    "g2a": {
        *("recurrence.hidden.weight", "hard.forward.hidden.weight", "hard.backward.hidden.weight"),
        *("query.weight", "query.bias", "key.weight", "key.bias"),
    },
}
"""Parameters that nothing depends on here: of the on-policy methods what is made of a recurrent state, which is blank
where an agent of `ENV` acts and where G2A's LSTMs read their only pair; and how much to attend to which other agent
where there is one."""


def build(algo, seeds):
    """Algorithm and player in the debug size, and their state for the given seeds."""
    config = default_config(algo, ENV, "debug", "tuned")
    return set_up(dataclasses.replace(config, num_seeds=len(seeds), seed=seeds[0]))


class Report(NamedTuple):
    """Metrics and played steps of an iteration."""

    metrics: Any
    episodes: Any
    transitions: Any


def iterate(setup, state, iterations):
    """The last state, and a report of each iteration."""
    reports = []
    for _ in range(iterations):
        state, report = iterate_once(setup, state)
        reports.append(report)
    return state, reports


def iterate_once(setup, state):
    learner, players = state
    played: Played | None = None

    def play(keys, agent):
        nonlocal players, played
        players, played = setup.player.collect(keys, agent, players)
        return played

    learner, metrics = setup.algorithm.iteration(learner, play)
    report = Report(metrics, played.episodes, played.transitions)
    return RunState(learner, players), jax.tree.map(np.asarray, report)


class Run:
    """Five iterations; MAG and MAMBA learn in the fourth and fifth, the others in all."""

    def __init__(self, setup, state):
        self.setup, self.algorithm = setup, setup.algorithm
        self.before, self.parameters = self.agent_of(state), parameters(state.learner)
        state, reports = iterate(setup, state, 3)
        self.unlearned = self.agent_of(state)
        self.state, more = iterate(setup, state, 2)
        self.reports = reports + more

    def agent_of(self, state):
        return jax.tree.map(np.asarray, self.algorithm.agent(state.learner))


def parameters(state):
    """All learned parameters, by name."""
    named = ((keystr(path, simple=True, separator="."), x) for path, x in tree_leaves_with_path(state))
    return {name: np.asarray(x) for name, x in named if "params." in name}


@functools.cache
def run_of(algo, seed):
    """The run of one seed; all seeds share their compiled programs."""
    setup, state = build(algo, [seed])
    return Run(setup if seed == 3 else run_of(algo, 3).setup, state)


@pytest.fixture(scope="module", params=ALGORITHMS)
def run(request):
    return run_of(request.param, 3)


@pytest.fixture(scope="module", params=["mag", "mamba"])
def mag_run(request):
    return run_of(request.param, 3)


@pytest.mark.slow
def test_a_model_reward_fitted_afresh_does_not_depend_on_the_runs_own(mag_run):
    learner = mag_run.state.learner
    algorithm = make(mag_run.algorithm.config, mag_run.algorithm.spec)  # others count what the run's has compiled
    one, other = (
        algorithm.model_reward(jax.random.key(0), each, afresh=True)
        for each in (
            learner,
            learner._replace(model_reward=None),
        )
    )
    assert eqx.tree_equal(one, other)
    if learner.model_reward is not None:
        own = algorithm.model_reward(jax.random.key(0), learner)
        assert eqx.tree_equal(own, jax.tree.map(lambda x: x[0], learner.model_reward.params))
        assert not eqx.tree_equal(own, one)


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
    learned = parameters(run.state.learner)
    unchanged = {name for name, x in run.parameters.items() if (x == learned[name]).all()}
    assert {name.partition("params.")[2] for name in unchanged} == UNTAUGHT.get(run.algorithm.config.algo, set())
    assert len(learned) > len(unchanged)


@pytest.mark.slow
def test_transitions_and_episodes_add_up(run):
    # An episode is three items (start, end, second absorbing item) of which one is a transition. In each of the
    # 4 environments items 1, 4, 7, ... of all 40 are: 13, since the last episode has just begun.
    transitions = [int(n[0].sum()) for *_, n in run.reports]
    ended = [int(np.sum(episodes.ended)) for _, episodes, _ in run.reports]
    assert transitions == ended and sum(ended) == 4 * 13
    for _, episodes, _ in run.reports:
        assert episodes.ended.shape == (1, 4, 8)
        np.testing.assert_array_equal(episodes.length[episodes.ended], 1)
        np.testing.assert_array_equal(episodes.returns[episodes.ended] == 1, episodes.won[episodes.ended])


@pytest.mark.slow
def test_seeds_side_by_side_are_the_runs_of_each_seed():
    # Their random numbers are the same. Where each has a thread of its own, the parameters too come out bit for bit;
    # what is batched over seeds, on one core, may round differently, so only what was played is held to that.
    both = Run(*build("mamba", [3, 4]))
    alone = [run_of("mamba", seed) for seed in (3, 4)]
    for k, one in enumerate(alone):
        rounding = 0 if own_cores() > 1 else 1e-5
        jax.tree.map(
            lambda a, b, k=k, rtol=rounding: np.testing.assert_allclose(a[k], b[0], rtol=rtol), both.before, one.before
        )
        for (_, together, n), (_, separate, m) in zip(both.reports[:4], one.reports[:4], strict=True):
            np.testing.assert_array_equal(n[k], m[0])
            jax.tree.map(lambda a, b, k=k: np.testing.assert_array_equal(a[k], b[0]), together, separate)
        if own_cores() > 1:
            jax.tree.map(
                lambda a, b, k=k: np.testing.assert_allclose(a[k], b[0], rtol=1e-3, atol=2e-3),
                both.agent_of(both.state),
                one.agent_of(one.state),
            )
    differ = jax.tree.map(lambda x: bool((x[0] != x[1]).any()), both.agent_of(both.state).actor)
    assert all(jax.tree.leaves(differ))


@jax.jit
def of_first_seed(agents):
    return jax.tree.map(lambda x: x[0], agents)


@functools.cache
def agent_of(algo):
    """An untrained joint agent, and its compiled `act(key, agent, carry, timestep, greedy)`."""
    setup, state = build(algo, [0])
    act = jax.jit(
        lambda key, agent, carry, timestep, greedy: agent.act(key, carry, timestep, greedy=greedy), static_argnums=4
    )
    return of_first_seed(setup.algorithm.agent(state.learner)), act


@pytest.fixture(scope="module", params=[algo for algo in ALGORITHMS if algo != "mag"])
def agent(request):
    """One joint agent of each kind; MAG and MAMBA have the same."""
    return agent_of(request.param)


def timesteps_of(number):
    env = envs.make(ENV)
    return jax.vmap(lambda key: env.reset(key)[1])(jax.random.split(jax.random.key(1), number))


@pytest.mark.slow
def test_the_carry_is_reset_where_an_episode_starts(agent):
    agent, act = agent
    timestep = jax.tree.map(lambda x: x[0], timesteps_of(1))
    initial = agent.initial_carry(jax.random.key(5))
    other = jax.tree.map(scrambled, initial)
    key = jax.random.key(0)
    from_initial, from_other = (act(key, agent, x, timestep, False) for x in (initial, other))
    same = jax.tree.map(lambda a, b: bool((a == b).all()), from_initial, from_other)
    assert all(jax.tree.leaves(same))
    going_on = timestep._replace(first=jnp.asarray(False))
    _, after = act(key, agent, other, going_on, False)
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
    agent, act = agent
    timesteps = timesteps_of(20)
    drawn = set()
    for i in range(20):
        timestep = jax.tree.map(lambda x, i=i: x[i], timesteps)
        for greedy in (True, False):
            carry = agent.initial_carry(jax.random.key(100 + i))
            action, carry = act(jax.random.key(i), agent, carry, timestep, greedy)
            assert np.take_along_axis(np.asarray(timestep.avail), np.asarray(action)[:, None], 1).all()
            np.testing.assert_array_equal(carry.previous_action, action)
            drawn.add((greedy, *np.asarray(action).tolist()))
    assert len(drawn) > 6


@pytest.mark.slow
@pytest.mark.parametrize(("algo", "field"), [("mamba", "actor"), ("commnet", "network")])
def test_the_moving_average_plays_greedily_and_only_then(algo, field):
    agent, act = agent_of(algo)

    @functools.partial(jax.jit, static_argnums=1)
    def actions(agent, greedy):
        carry = agent.initial_carry(jax.random.key(3))
        return jax.vmap(lambda timestep: act(jax.random.key(2), agent, carry, timestep, greedy)[0])(timesteps_of(50))

    other = jax.tree.map(scrambled, getattr(agent, field))
    for greedy, reads, ignores in ((True, f"greedy_{field}", field), (False, field, f"greedy_{field}")):
        action = np.asarray(actions(agent, greedy))
        np.testing.assert_array_equal(action, actions(dataclasses.replace(agent, **{ignores: other}), greedy))
        assert (action != actions(dataclasses.replace(agent, **{reads: other}), greedy)).any()


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_it_is_an_algorithm_of_its_configuration_and_sizes(algo):
    config, spec = default_config(algo, ENV, "debug"), envs.spec(ENV)
    algorithm = make(config, spec)
    assert algorithm.config is config and algorithm.spec is spec
    has_models = algo in ("mag", "mamba")
    assert isinstance(algorithm, MAG if has_models else OnPolicy) and isinstance(algorithm, Algorithm)
    assert isinstance(algorithm, ModelBased) == has_models


def test_a_configuration_of_no_algorithm_is_refused():
    with pytest.raises(UsageError, match="unknown algorithm 'MAG'; there are mag, mamba"):
        make(MAGConfig(algo="MAG"), envs.spec(ENV))


# Algorithm 1.


class Recorded:
    """MAG whose lines only record their calls, and return names of their results."""

    def __init__(self, algo):
        self.algorithm = make(default_config(algo, ENV, "debug"), envs.spec(ENV))
        self.calls = []
        for name in (*LINES, "agent", "can_learn"):
            vars(self.algorithm)[name] = functools.partial(self.note, name)

    def note(self, name, *args):
        self.calls.append((name, *args))
        made = len([call for call in self.calls if call[0] == name])
        return {
            "split": tuple(f"{args[0]}.{i}" for i in range(5)),
            "agent": "agent",
            "play": Played("carry", "arrivals", None, None, None, None),
            "add": "data'",
            "can_learn": True,
            "fit_models": (Trainable("models'", None, MovingAverage("average'", None)), {"models/loss": 1}),
            "fit_model_reward": (Trainable("reward'", None), {"model_reward/loss": 2}),
            "rollouts": f"D_m {made}",
            "fit_policy": (policy_called(f"policy {made}"), {"policy/loss": 2 + made}),
        }[name]


def policy_called(name):
    return PolicyState(Trainable(f"{name}'s actor", None), Trainable(f"{name}'s critic", None), None)


@pytest.mark.parametrize("algo", ["mag", "mamba"])
def test_an_iteration_is_algorithm_1(algo):
    recorded, plans = Recorded(algo), algo == "mag"
    reward = Trainable("reward", None) if plans else None
    start = MAGState("key", Trainable("models", None), reward, policy_called("policy 0"), "data")
    state, metrics = recorded.algorithm.iteration(start, functools.partial(recorded.note, "play"))
    lines = [
        ("split", "key"),
        ("agent", start),
        ("play", "key.1", "agent"),  # line 3
        ("add", "data", "arrivals"),
        ("can_learn", start._replace(key="key.0", data="data'")),
        ("fit_models", "key.2", start.models, "data'"),  # line 4
        ("fit_model_reward", "key.3", reward, "average'", "data'"),  # line 5
        ("split", "key.4"),  # line 6: two rollouts
        ("rollouts", "key.4.1", "average'", "reward'" if plans else None, "policy 0's actor", "data'"),  # lines 7-15
        ("fit_policy", "key.4.2", policy_called("policy 0"), "D_m 1"),  # lines 16-18
        ("split", "key.4.0"),
        ("rollouts", "key.4.0.1", "average'", "reward'" if plans else None, "policy 1's actor", "data'"),
        ("fit_policy", "key.4.0.2", policy_called("policy 1"), "D_m 2"),
    ]
    assert recorded.calls == [line for line in lines if plans or line[0] != "fit_model_reward"]
    assert (state.key, state.data, state.policy) == ("key.0", "data'", policy_called("policy 2"))
    assert state.models.weights == "average'" and state.model_reward == (Trainable("reward'", None) if plans else None)
    assert metrics == {"models/loss": 1, "policy/loss": 4} | ({"model_reward/loss": 2} if plans else {})


@pytest.mark.slow
def test_learning_starts_when_enough_is_stored(mag_run):
    # 4 environments x 8 steps an iteration: 96 items after the third, 128 after the fourth; learning starts at 100.
    assert mag_run.algorithm.config.replay.learning_starts == 100
    assert [bool(metrics) for metrics, *_ in mag_run.reports] == [False, False, False, True, True]
    jax.tree.map(np.testing.assert_array_equal, mag_run.before, mag_run.unlearned)
    before, after = (tree_leaves_with_path(each) for each in (mag_run.before, mag_run.agent_of(mag_run.state)))
    pairs = zip(before, after, strict=True)
    # The average of equal numbers is equal but for rounding.
    unchanged = {keystr(path, simple=True, separator=".") for (path, x), (_, y) in pairs if np.allclose(x, y, 1e-6, 0)}
    assert unchanged == {f"models.{name}" for name in EVENTS}
    assert (mag_run.state.learner.model_reward is not None) == (mag_run.algorithm.config.algo == "mag")


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["mag", "mamba"])
def test_learning_is_compiled_before_it_begins(algo):
    with ThreadPoolExecutor(2) as threads:
        setup, state = set_up(default_config(algo, ENV, "debug", "tuned"), ahead=threads)
    compiled = []

    def note(event, seconds, **details):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(details["fun_name"])

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        _, reports = iterate(setup, state, 4)
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
    assert reports[-1].metrics
    assert "jit(add)" in compiled
    assert not {f"jit({name})" for name in LINES[2:]} & set(compiled)


@pytest.mark.slow
def test_nothing_is_compiled_twice(mag_run):
    compiled = {name: getattr(mag_run.algorithm, name).function._cache_size() for name in LINES}
    expected = dict.fromkeys(LINES, 1)
    if mag_run.algorithm.config.algo == "mamba":
        expected["fit_model_reward"] = 0
    assert compiled == expected and mag_run.setup.player.collect.function._cache_size() == 1


@pytest.mark.parametrize(("steps", "can"), [(8, False), (9, True)])
def test_learning_waits_for_one_whole_sequence(steps, can):
    changes = {"replay.learning_starts": 0, "replay.sequence_length": 9}
    config = override(default_config("mag", ENV, "debug", "paper"), changes)
    experience = SimpleNamespace(first=jnp.zeros((1, config.collect.num_envs, 500)))
    data = SimpleNamespace(is_full=jnp.array([False]), current_index=jnp.array([steps]), experience=experience)
    state = MAGState(key=None, models=None, model_reward=None, policy=None, data=data)
    assert make(config, envs.spec(ENV)).can_learn(state) == can
