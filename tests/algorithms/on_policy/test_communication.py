"""The baselines solve a task that needs communication, and only where they may communicate."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag import envs
from mag.algorithms.config import CollectConfig
from mag.algorithms.on_policy.agent import OnPolicyCarry
from mag.algorithms.on_policy.segments import Segment, unroll
from mag.algorithms.registry import default_config, make
from mag.play.episode import arrival
from mag.play.testing import evaluation_keys
from mag.runs.setup import set_up
from mag.types import TimeStep
from tests.support.small import SPEC, filled, random_batch

BASELINES = ("attention-ppo", "commnet", "g2a")


def small(algo, *, communicate):
    """A method that learns the relay in seconds."""
    config = default_config(algo, "probe/relay", "debug", "paper")
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
    return dataclasses.replace(config, collect=CollectConfig(32, 16), learning=learning, networks=networks)


@pytest.mark.slow
@pytest.mark.parametrize("algo", BASELINES)
def test_what_only_one_sees_the_other_does(algo):
    (algorithm, player, _), (learner, players) = set_up(small(algo, communicate=True))

    def play(keys, agent):
        nonlocal players
        players, played = player.collect(keys, agent, players)
        return played

    for _ in range(40):
        learner, _ = algorithm.iteration(learner, play)
    result = player.test(evaluation_keys(0, 1, 0), algorithm.agent(learner), 64)
    assert float(np.mean(result.won)) > 0.95


@pytest.mark.parametrize("algo", BASELINES)
@pytest.mark.parametrize("communicate", [True, False])
def test_an_agent_heeds_what_another_sees_only_where_they_communicate(algo, communicate):
    algorithm = make(small(algo, communicate=communicate), envs.spec("probe/relay"))
    networks = algorithm.config.networks
    network = filled(lambda key: algorithm.network(key, SPEC, networks))
    steps = jax.tree.map(lambda x: x[0], random_batch(0, [[1, 0, 0]]))
    nobody = jnp.full(SPEC.n_agents, -1, jnp.int32)
    start = OnPolicyCarry(algorithm.network.initial_carry(SPEC, networks), nobody, jax.random.key(0))

    def logits(obs):
        return unroll(network, Segment(start, steps._replace(obs=obs), jnp.ones(2, bool)))[0][:, 1]

    moved = jax.jit(lambda obs: jax.vjp(logits, obs)[1](jnp.ones((3, SPEC.n_actions)))[0])(steps.obs)
    assert bool((moved[:, 1] != 0).any())
    assert bool((moved[:, 0] != 0).any()) == communicate


@pytest.mark.parametrize("algo", BASELINES)
def test_what_the_dead_observe_does_not_reach_the_living(algo):
    algorithm = make(small(algo, communicate=True), envs.spec("probe/relay"))
    networks = algorithm.config.networks
    network = filled(lambda key: algorithm.network(key, SPEC, networks))
    carry = algorithm.network.initial_carry(SPEC, networks)
    shown = jax.tree.map(lambda x: x[0, 0], random_batch(0, [[1]]))
    timestep = TimeStep(
        obs=shown.obs, avail=shown.avail, alive=jnp.array([True, False, True]), reward=shown.reward,
        first=shown.first, terminated=~shown.first, truncated=~shown.first, won=~shown.first, state=None,
    )  # fmt: skip

    def living(obs):
        seen = arrival(timestep._replace(obs=obs), shown.previous_action)
        after = network.recur(carry, network.encode(seen), seen)
        logits, value = network.heads(None, after, seen)
        return logits[jnp.array([0, 2])], value[jnp.array([0, 2])]

    there, elsewhere = living(shown.obs), living(shown.obs.at[1].add(3.0))
    jax.tree.map(np.testing.assert_array_equal, there, elsewhere)
    heard = living(shown.obs.at[2].add(3.0))
    assert any((one != other).any() for one, other in zip(there, heard, strict=True))
