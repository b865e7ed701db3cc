"""The baselines communicate: they solve what cannot be solved otherwise, and only where they may."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag import envs
from mag.algorithms.config import CollectConfig
from mag.algorithms.contract import init_seeds
from mag.algorithms.on_policy.algorithm import AgentState, Segment, replay
from mag.algorithms.on_policy.config import BASELINES
from mag.algorithms.registry import default_config, make
from mag.play.testing import evaluation_keys, make_evaluator
from tests.support.small import SPEC, filled, random_batch

pytestmark = pytest.mark.usefixtures("compile_quickly")


def small(algo, *, communicate):
    """A method that learns the relay in seconds."""
    config = default_config(algo, "probe/relay", "debug")
    learning = dataclasses.replace(
        config.learning,
        optimiser="adam",
        learning_rate=2e-3,
        critic_learning_rate=2e-3,
        max_grad_norm=1.0,
        epochs=4,
        entropy=0.01,
        normalise=True,
        epsilon=0.0,
        epsilon_end=0.0,
    )
    networks = dataclasses.replace(config.networks, communicate=communicate)
    config = dataclasses.replace(config, collect=CollectConfig(32, 16), learning=learning, networks=networks)
    return make(config, envs.make("probe/relay"))


@pytest.mark.slow
@pytest.mark.parametrize("algo", BASELINES)
def test_what_only_one_sees_the_other_does(algo):
    algorithm = small(algo, communicate=True)
    state = init_seeds(algorithm)
    for _ in range(40):
        state, *_ = algorithm.iteration(state)
    result = make_evaluator(algorithm, 64)(algorithm.policy(state), evaluation_keys(0, 1, 0))
    assert float(np.mean(result.won)) > 0.95


@pytest.mark.parametrize("algo", BASELINES)
@pytest.mark.parametrize("communicate", [True, False])
def test_an_agent_heeds_what_another_sees_only_where_they_communicate(algo, communicate):
    algorithm = small(algo, communicate=communicate)
    networks = algorithm.config.networks
    network = filled(lambda key: algorithm.network(key, SPEC, networks))
    steps = jax.tree.map(lambda x: x[0], random_batch(0, [[1, 0, 0]]))
    nobody = jnp.full(SPEC.n_agents, -1, jnp.int32)
    start = AgentState(algorithm.network.blank(SPEC, networks), nobody, jax.random.key(0))

    def logits(obs):
        return replay(network, Segment(start, steps._replace(obs=obs), jnp.ones(2, bool)))[0][:, 1]

    moved = jax.jit(lambda obs: jax.vjp(logits, obs)[1](jnp.ones((3, SPEC.n_actions)))[0])(steps.obs)
    assert bool((moved[:, 1] != 0).any())
    assert bool((moved[:, 0] != 0).any()) == communicate
