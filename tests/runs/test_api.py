"""Training, loading and acting from Python."""

from concurrent.futures import ThreadPoolExecutor

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mag
from mag.errors import UsageError
from mag.runs.api import Policy
from mag.runs.train import train
from mag.types import TimeStep
from tests.support.fake import fake_config
from tests.support.fake_env import FakeEnv

SPEC = FakeEnv().spec


class Counter(eqx.Module):
    """Plays the number of steps since the episode began; agents that are dead, or must not, play 0."""

    def initial_carry(self, key):
        return jnp.asarray(7)

    def act(self, key, carry, timestep, *, greedy):
        carry = jnp.where(timestep.first, 0, carry + 1)
        drawn = 0 if greedy else jax.random.randint(key, (), 100, 1000)
        allowed = timestep.alive & timestep.avail[:, 1]
        return (carry * allowed + drawn).astype(jnp.int32), carry


@pytest.fixture
def policy():
    return Policy(Counter(), SPEC, key=jax.random.key(0))


def seen(first=False, **arrays):
    state = FakeEnv().reset(jax.random.key(0))[1]
    return state._replace(first=jnp.asarray(first), **arrays)


def test_a_policy_carries_its_memory_until_an_episode_starts(policy):
    obs = np.zeros((2, 1))
    actions = [policy.act(obs, first=first)[0] for first in (False, False, False, True, False)]
    assert actions == [0, 1, 2, 0, 1]


def test_a_time_step_says_when_an_episode_starts(policy):
    actions = [policy.act(seen(first))[0] for first in (False, False, True, False)]
    assert actions == [0, 1, 0, 1]


def test_masks_reach_the_agents(policy):
    obs, available = np.zeros((2, 1)), np.array([[1, 1, 0], [1, 0, 0]])
    policy.act(obs)
    assert policy.act(obs, available).tolist() == [1, 0]
    assert policy.act(obs, alive=np.array([False, True])).tolist() == [0, 2]
    assert policy.act(seen(avail=jnp.asarray(available, bool))).tolist() == [3, 0]


def test_samples_are_drawn_anew_at_each_step_and_repeat_with_the_key(policy):
    obs = np.zeros((2, 1))
    sampled = [policy.act(obs, first=True, greedy=False)[0] for _ in range(5)]
    assert min(sampled) >= 100 and len(set(sampled)) == 5
    again = Policy(Counter(), SPEC, key=jax.random.key(0))
    assert [again.act(obs, first=True, greedy=False)[0] for _ in range(5)] == sampled
    assert policy.act(obs).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"observation": np.zeros((1, 2, 1))},
            r"the observation has the shape \(1, 2, 1\); .* has \(2, 1\), for one env",
        ),
        ({"observation": np.zeros(2)}, r"the observation has the shape \(2,\)"),
        ({"available": np.ones((2, 2))}, r"the mask of available actions has the shape \(2, 2\); .* has \(2, 3\)"),
        ({"alive": np.ones(3)}, r"the mask of living agents has the shape \(3,\)"),
        ({"observation": seen()._replace(first=jnp.zeros(2))}, r"the start of an episode has the shape \(2,\)"),
        ({"observation": seen(obs=jnp.zeros((1, 2, 1)))}, r"the observation has the shape \(1, 2, 1\)"),
    ],
)
def test_other_shapes_are_refused_and_leave_the_memory_alone(policy, given, message):
    with pytest.raises(UsageError, match=message):
        policy.act(**{"observation": np.zeros((2, 1)), **given})
    assert policy.act(np.zeros((2, 1))).tolist() == [0, 0]


def test_the_policy_of_each_seed_of_a_run_is_loaded(tmp_path):
    train(fake_config(seed=4), tmp_path)
    policies = {seed: mag.load(tmp_path, seed) for seed in (None, 4, 5)}
    with pytest.raises(UsageError, match=r"seed is 6; the run in .* has the seeds 4 to 5"):
        mag.load(tmp_path, 6)
    weights = {seed: policy._agent.weights for seed, policy in policies.items()}
    assert weights[4].shape == (3, 2)
    np.testing.assert_array_equal(weights[None], weights[4])
    assert not np.array_equal(weights[4], weights[5])
    # With a positive observation the agent takes the action of the greatest weights.
    action = policies[5].act(np.ones((2, 1)))
    assert action.tolist() == [int(weights[5].sum(-1).argmax())] * 2


def test_training_takes_options_as_the_command_line_does(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr("mag.runs.api.train_run", lambda config, path: calls.append((config, path)) or {"seeds": []})
    summary = mag.train(
        "probe/memory",
        "mag",
        size="debug",
        planner="elite",
        seed=3,
        steps=40,
        run=tmp_path,
        ppo={"gamma": 0.5},
        options={"planner.num_elites": 1},
    )
    mag.train(env="probe/memory", size="debug", planner={"horizon": 3})
    (config, path), (second, folder) = calls
    assert summary == {"seeds": []} and path == tmp_path and folder is None
    assert (config.planner.kind, config.planner.num_elites, config.ppo.gamma) == ("elite", 1, 0.5)
    assert (config.seed, config.steps, config.env) == (3, 40, "probe/memory")
    assert (second.planner.kind, second.planner.horizon, second.steps, second.seed) == ("shooting", 3, 300, 0)


def test_a_thread_trains(tmp_path):
    """Signals, which only the main thread may handle, are left alone."""
    with ThreadPoolExecutor(1) as threads:
        options = {"env": "probe/one-step", "algo": "commnet", "size": "debug", "steps": 40, "run": tmp_path / "run"}
        assert threads.submit(mag.train, **options).result()["env_steps"] >= 40


def test_mistakes_in_python_are_refused_in_pythons_spelling():
    with pytest.raises(UsageError, match=r"unknown option ppo\.gama \(did you mean ppo\.gamma\?\)"):
        mag.train("probe/memory", size="debug", ppo={"gama": 0.5})


def test_public_names_are_documented_and_exist():
    assert all(name in mag.__doc__ for name in ("mag.train", "mag.load", "make", "plan", "Plan"))
    assert all(callable(getattr(mag, name)) for name in mag.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mag.nothing  # noqa: B018


def test_a_time_step_is_what_environments_show():
    assert isinstance(mag.make("probe/memory").reset(jax.random.key(0))[1], TimeStep)
