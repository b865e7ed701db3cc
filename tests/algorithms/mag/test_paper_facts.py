"""Sizes and numbers of the paper and its parent, in the `paper` preset."""

import dataclasses

import jax
import numpy as np
import pytest

from mag.algorithms.mag.local_models import LocalModels
from mag.algorithms.mag.model_reward import ErrorReward
from mag.algorithms.mag.policy import Actor, Critic
from mag.algorithms.on_policy.attention_ppo import AttentionPPO
from mag.algorithms.on_policy.commnet import CommNet
from mag.algorithms.on_policy.g2a import G2A
from mag.algorithms.registry import default_config
from mag.envs import EnvSpec

SPEC = EnvSpec(
    name="paper/size",
    n_agents=3,
    obs_dim=101,
    state_dim=None,
    n_actions=10,
    episode_limit=150,
    has_masks=True,
    has_wins=True,
)
PAPER = default_config("mag", "smac_jax/3s_vs_3z", "paper", "paper")


def shapes(make):
    return jax.eval_shape(make, jax.random.key(0))


MODELS = shapes(lambda key: LocalModels(key, SPEC, PAPER.networks, PAPER.models))


def count(make):
    return sum(x.size for x in jax.tree.leaves(shapes(make)))


def test_parameter_counts():
    assert count(lambda key: LocalModels(key, SPEC, PAPER.networks, PAPER.models)) == 4_597_883
    assert count(lambda key: Actor(key, MODELS, 10, PAPER.networks)) == 396_298
    assert count(lambda key: Critic(key, MODELS, PAPER.networks)) == 789_761


def test_without_masks_their_head_is_missing():
    spec = dataclasses.replace(SPEC, has_masks=False)
    # 1280 -> 256 -> 256 -> 10.
    head = 1280 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10
    assert count(lambda key: LocalModels(key, spec, PAPER.networks, PAPER.models)) == 4_597_883 - head


@pytest.mark.parametrize(
    ("part", "parameters"),
    [
        ("encoder", 101 * 256 + 256 + 3 * (256 * 256 + 256)),
        ("recurrent_input", (10 + 1024) * 256 + 256),
        # A layer: query, key, value and output 256 x 256, two feed-forward layers, two normalisations.
        ("attention", 3 * (4 * (256 * 256 + 256) + 2 * (256 * 256 + 256) + 2 * 512)),
        ("recurrence", 2 * (256 * 768 + 768)),
        ("prior", 256 * 256 + 256 + 256 * 1024 + 1024),
        ("posterior_input", 512 * 256 + 256),
        ("posterior_output", 256 * 1024 + 1024),
        ("decoder", 1280 * 256 + 256 + 2 * (256 * 256 + 256)),
        ("decoder_output", 256 * 101 + 101),
        ("reward", 1280 * 256 + 256 + 256 * 256 + 256 + 256 + 1),
        ("continuation", 1280 * 256 + 256 + 256 * 256 + 256 + 256 + 1),
        ("available_head", 1280 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10),
        ("action_features", 2 * (256 * 256 + 256)),
        ("action_output", 256 * 10 + 10),
    ],
)
def test_parts_of_the_local_models(part, parameters):
    models = shapes(lambda key: LocalModels(key, SPEC, PAPER.networks, PAPER.models))
    assert sum(x.size for x in jax.tree.leaves(getattr(models, part))) == parameters


def test_model_reward_has_four_hidden_layers():
    net = shapes(
        lambda key: ErrorReward(key, MODELS, hidden=PAPER.networks.hidden, layers=PAPER.model_reward.layers)
    ).net
    assert (net.first.left.shape, net.first.right.shape) == ((1024, 256), (256, 256))
    assert [layer.weight.shape for layer in net.rest.layers] == [(256, 256)] * 3 + [(256, 1)]
    assert net.activation == net.rest.activation == "elu"


def test_activations_are_the_references():
    models = shapes(lambda key: LocalModels(key, SPEC, PAPER.networks, PAPER.models))
    relu = (models.encoder, models.prior, models.decoder)
    elu = (models.reward, models.continuation, models.available_head, models.action_features)
    assert {net.activation for net in relu} == {"relu"} and {net.activation for net in elu} == {"elu"}
    assert shapes(lambda key: Actor(key, MODELS, 10, PAPER.networks)).net.activation == "relu"
    assert shapes(lambda key: Critic(key, MODELS, PAPER.networks)).value.activation == "relu"


@pytest.mark.slow
def test_the_actor_starts_orthogonal():
    small = dataclasses.replace(PAPER.networks, hidden=16, deterministic=8, categoricals=4, classes=4)
    models = jax.eval_shape(lambda key: LocalModels(key, SPEC, small, PAPER.models), jax.random.key(0))
    actor = jax.jit(lambda key: Actor(key, models, 10, small))(jax.random.key(0)).net
    first = np.concatenate([actor.first.left, actor.first.right])
    np.testing.assert_allclose(first.T @ first, np.eye(16), atol=1e-4)
    for layer in actor.rest.layers:
        np.testing.assert_allclose(layer.weight.T @ layer.weight, np.eye(layer.weight.shape[1]), atol=1e-4)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("collect.num_envs", 1),
        ("collect.steps", 60),
        ("replay.capacity", 250_000),
        ("replay.learning_starts", 500),
        ("replay.sequence_length", 20),
        ("replay.batch_size", 40),
        ("networks.hidden", 256),
        ("networks.deterministic", 256),
        ("networks.categoricals", 32),
        ("networks.classes", 32),
        ("networks.attention_layers", 3),
        ("networks.heads", 8),
        ("networks.dropout", 0.1),
        ("models.optimiser", "adam"),
        ("models.learning_rate", 5e-4),
        ("models.ema_decay", 0),
        ("models.batches", 60),
        ("models.max_grad_norm", 100),
        ("models.kl_balance", 0.8),
        ("model_reward.learning_rate", 5e-4),
        ("model_reward.optimiser", "adam"),
        ("model_reward.batches", 60),
        ("model_reward.layers", 4),
        ("rollout.num_rollouts", 4),
        ("rollout.length", 15),
        ("ppo.actor_learning_rate", 5e-4),
        ("ppo.critic_learning_rate", 5e-4),
        ("ppo.ema_decay", 0),
        ("ppo.weight_decay", 1e-5),
        ("ppo.max_grad_norm", 100),
        ("ppo.clip", 0.2),
        ("ppo.epochs", 5),
        ("ppo.minibatch", 2000),
        ("ppo.entropy", 0.001),
        ("ppo.entropy_decay", 0.99998),
        ("ppo.gamma", 0.99),
        ("ppo.gae_lambda", 0.95),
    ],
)
def test_numbers_of_the_paper_preset(field, value):
    group, name = field.split(".")
    assert getattr(getattr(PAPER, group), name) == value


@pytest.mark.parametrize(
    ("map_name", "num_trajectories", "horizon"),
    [
        ("2s_vs_1sc", 5, 10),
        ("3s_vs_3z", 5, 10),
        ("2s3z", 5, 10),
        ("3s_vs_4z", 4, 10),
        ("3s_vs_5z", 5, 7),
        ("2c_vs_64zg", 5, 7),
        ("corridor", 4, 6),
        ("3s5z_vs_3s6z", 4, 7),
    ],
)
def test_table_1(map_name, num_trajectories, horizon):
    for family in ("smac_jax", "smax", "starcraft"):
        planner = default_config("mag", f"{family}/{map_name}", "paper", "paper").planner
        assert (planner.num_trajectories, planner.horizon) == (num_trajectories, horizon)
    # A task of one's own that happens to have the name keeps the defaults.
    planner = default_config("mag", f"my_tasks/{map_name}", "paper", "paper").planner
    assert (planner.num_trajectories, planner.horizon) == (5, 10)


def test_mamba_keeps_its_own_learning_rate():
    assert default_config("mamba", "smax/3s_vs_3z", "paper", "paper").models.learning_rate == 2e-4


def of(algo):
    """The publication's preset on SMAC's reward scale."""
    return default_config(algo, "smac_jax/2s3z", "paper", "paper")


def test_attention_ppo_has_the_numbers_of_mags_policy_update():
    learning, ppo = of("attention-ppo").learning, PAPER.ppo
    assert (learning.clip, learning.epochs, learning.entropy) == (ppo.clip, ppo.epochs, ppo.entropy)
    assert (learning.gamma, learning.gae_lambda) == (ppo.gamma, ppo.gae_lambda)
    assert learning.learning_rate == learning.critic_learning_rate == ppo.actor_learning_rate
    # Embedding, one transformer layer, GRU, one hidden layer and the head; actor, then critic.
    layer = 4 * (256 * 256 + 256) + 2 * (256 * 256 + 256) + 2 * 512
    trunk = 101 * 256 + 256 + layer + 2 * (256 * 768 + 768) + 256 * 256 + 256
    expected = 2 * trunk + (256 * 10 + 10) + (256 + 1)
    assert count(lambda key: AttentionPPO(key, SPEC, of("attention-ppo").networks)) == expected


def test_commnet_is_a_policy_gradient_with_monte_carlo_returns():
    learning, collect = of("commnet").learning, of("commnet").collect
    assert (learning.optimiser, learning.learning_rate, learning.value_coefficient) == ("rmsprop", 1e-3, 0.01)
    assert (learning.gae_lambda, learning.epochs, learning.minibatches, learning.entropy) == (1.0, 1, 1, 0.0)
    # One update of 8 x 60 = 480 steps: 100 000 / 480 = 208.3.
    assert 100_000 // (collect.num_envs * collect.steps) == 208
    # Encoder, C, LSTM and the two heads.
    expected = 101 * 128 + 128 + 128 * 128 + 128 + 2 * (128 * 512 + 512) + 128 * 10 + 10 + 128 + 1
    assert count(lambda key: CommNet(key, SPEC, of("commnet").networks)) == expected


def test_g2a_has_a_central_critic_and_gates():
    learning = of("g2a").learning
    assert (learning.learning_rate, learning.critic_learning_rate, learning.max_grad_norm) == (1e-4, 1e-3, 10.0)
    assert (learning.gae_lambda, learning.target_every, learning.epsilon, learning.epsilon_end) == (0.8, 200, 0.5, 0.02)
    net = shapes(lambda key: G2A(key, SPEC, of("g2a").networks))
    # Observation, last action, index; pairs of memories; three maps of 64 to 32; all observations.
    assert net.encoder.weight.shape == (101 + 10 + 3, 64)
    assert net.hard.forward.inputs.weight.shape == (128, 256) and net.hard.score.weight.shape == (128, 2)
    assert net.query.weight.shape == net.key.weight.shape == net.value.weight.shape == (64, 32)
    assert net.head.weight.shape == (96, 10)
    assert [layer.weight.shape for layer in net.critic.layers] == [(303, 128), (128, 128), (128, 1)]
