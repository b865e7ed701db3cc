"""Actor, critic and the policy inside the models, against loops."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mag.algorithms.mag.config import ExplorationConfig
from mag.algorithms.mag.policy import Actor, Critic, ModelAgent, draw_leaning, imagine_action
from mag.envs import Enemies
from mag.envs.host import time_step
from mag.play.episode import unexploring
from tests.support import reference
from tests.support.small import NETWORKS, SPEC, filled, float64, random_state, small_models

KEY = jax.random.key(0)
MODELS = small_models()
ACTOR = filled(lambda key: Actor(key, MODELS, SPEC.n_actions, NETWORKS))
STATE = random_state(0)
LEANING = ExplorationConfig(leaning=1.0, strength=1e4)
"""Every episode leans, and nothing else counts."""


def features(state):
    one_hot = np.eye(NETWORKS.classes)[np.asarray(state.stoch)].reshape(SPEC.n_agents, -1)
    return np.concatenate([one_hot, np.asarray(state.deter)], 1)


def test_actor_sees_its_own_features_only():
    expected = [reference.feature_mlp(np, float64(ACTOR.net), x, reference.relu) for x in features(STATE)]
    np.testing.assert_allclose(jax.jit(lambda s: ACTOR(s))(STATE), expected, rtol=1e-4, atol=1e-5)


def test_critic_values_each_agent_after_attention():
    critic = filled(lambda key: Critic(key, MODELS, NETWORKS))
    net = float64(critic)
    inputs = [reference.relu(np, reference.concat_linear(np, net.embed.first, x)) for x in features(STATE)]
    mixed = reference.attention(np, net.attention, inputs, NETWORKS.heads)
    expected = [reference.mlp(np, net.value, reference.relu(np, x), reference.relu)[0] for x in mixed]
    np.testing.assert_allclose(jax.jit(lambda s: critic(s))(STATE), expected, rtol=1e-4, atol=1e-5)


def test_masks_are_drawn_with_the_predicted_chances_and_heeded():
    keys = jax.random.split(KEY, 4000)
    action, avail, logits = jax.jit(jax.vmap(lambda key: imagine_action(key, ACTOR, MODELS, STATE)))(keys)
    action, avail = np.asarray(action), np.asarray(avail)
    net, acting = float64(MODELS.available_head), float64(ACTOR.net)
    for i, x in enumerate(features(STATE)):
        chance = reference.sigmoid(np, reference.feature_mlp(np, net, x, reference.elu))
        # Standard deviation of a frequency: at most 0.5 / sqrt(4000) = 0.008.
        np.testing.assert_allclose(avail[:, i].mean(0), chance, atol=0.035)
        drawn = avail[np.arange(4000), i, action[:, i]]
        some = avail[:, i].any(-1)
        assert drawn[some].all()
        # Among the draws with one mask, actions follow the policy restricted to it.
        masks, counts = np.unique(avail[some, i], axis=0, return_counts=True)
        mask = masks[counts.argmax()]
        p = np.where(mask, np.exp(reference.feature_mlp(np, acting, x, reference.relu)), 0)
        chosen = action[(avail[:, i] == mask).all(-1), i]
        frequency = np.bincount(chosen, minlength=4) / len(chosen)
        np.testing.assert_allclose(frequency, p / p.sum(), atol=2.5 / np.sqrt(len(chosen)))
    np.testing.assert_array_equal(np.asarray(logits) > -1e9, avail | ~avail.any(-1, keepdims=True))


def test_an_empty_mask_leaves_the_policy_as_it_is():
    never = eqx.tree_at(lambda m: m.available_head.rest.layers[-1].bias, MODELS, jnp.full(4, -1000.0))
    _, avail, logits = jax.jit(lambda m: imagine_action(KEY, ACTOR, m, STATE))(never)
    assert not avail.any()
    np.testing.assert_allclose(logits, jax.jit(lambda s: ACTOR(s))(STATE), rtol=1e-5, atol=1e-6)


def test_without_masks_everything_is_available():
    models = small_models(spec=dataclasses.replace(SPEC, has_masks=False))
    _, avail, _ = jax.jit(lambda m: imagine_action(KEY, ACTOR, m, STATE))(models)
    assert avail.all() and avail.shape == (SPEC.n_agents, SPEC.n_actions)


def episode(key, exploration, *, greedy=False, obs=0.0, avail=None, alive=None, steps=6):
    """Joint actions and model states `[time, agents, ...]` of an episode that always shows the same."""
    agent = ModelAgent(MODELS, ACTOR, ACTOR, SPEC, exploration)
    obs = np.broadcast_to(obs, (SPEC.n_agents, SPEC.obs_dim))
    shown = jax.tree.map(jnp.asarray, time_step(SPEC, obs=obs, avail=avail, alive=alive))

    def step(carry, inputs):
        key, first = inputs
        action, carry = agent.act(key, carry, shown._replace(first=first), greedy=greedy)
        return carry, (action, carry.state)

    keys = jax.random.split(key, steps)
    return jax.lax.scan(step, agent.initial_carry(key), (keys, jnp.arange(steps) == 0))[1]


def actions_of_an_episode(key, exploration, **shown):
    """Joint actions `[time, agents]` of an episode that shows nothing else."""
    return episode(key, exploration, **shown)[0]


def test_what_the_dead_observe_does_not_reach_the_living():
    obs = np.random.default_rng(0).normal(size=(SPEC.n_agents, SPEC.obs_dim))
    alive = np.array([True, False, True])

    def others(changed):
        """The models' states of agents 0 and 2 where agent `changed` sees something else."""
        seen = obs + 3.0 * (np.arange(SPEC.n_agents) == changed)[:, None]
        _, states = jax.jit(lambda key: episode(key, ExplorationConfig(), obs=seen, alive=alive, greedy=True))(KEY)
        return states.deter[:, [0, 2]]

    there, where_the_dead_see, where_a_living_one_sees = others(None), others(1), others(2)
    np.testing.assert_array_equal(there, where_the_dead_see)
    assert (there != where_a_living_one_sees)[:, 0].any()  # what agent 2 sees does reach agent 0


def test_a_team_that_leans_does_so_together_and_all_episode_long():
    def episodes(avail):
        keys = jax.random.split(KEY, 64)
        return jax.jit(jax.vmap(lambda key: actions_of_an_episode(key, LEANING, avail=avail)))(keys)

    found = episodes(None)
    assert (found == found[:, :1, :1]).all()
    assert len(np.unique(found[:, 0, 0])) == SPEC.n_actions  # each episode to its own action
    but_one = np.broadcast_to(np.arange(SPEC.n_actions) != 2, (SPEC.n_agents, SPEC.n_actions))
    assert not (episodes(but_one) == 2).any()


def test_greedy_play_never_leans():
    leaning, plain = (
        jax.jit(lambda key, exploration=exploration: actions_of_an_episode(key, exploration, greedy=True))(KEY)
        for exploration in (LEANING, ExplorationConfig())
    )
    np.testing.assert_array_equal(leaning, plain)


def test_without_exploration_actions_are_drawn_as_the_policy_draws_them():
    agent = ModelAgent(MODELS, ACTOR, ACTOR, SPEC, LEANING)
    assert unexploring(agent).initial_carry(KEY).leaning is None
    drawn, plain = (
        jax.jit(lambda key, exploration=exploration: actions_of_an_episode(key, exploration))(KEY)
        for exploration in (unexploring(agent).exploration, ExplorationConfig())
    )
    np.testing.assert_array_equal(drawn, plain)


def test_all_attacks_may_share_one_draw():
    spec = dataclasses.replace(SPEC, enemies=Enemies(2, first_feature=0, features=2, offset=0, first_action=2))
    apart, together = (
        np.asarray(draw_leaning(KEY, spec, ExplorationConfig(leaning=1.0, attacks_as_one=as_one)))
        for as_one in (False, True)
    )
    assert len(set(apart.tolist())) == 4
    np.testing.assert_array_equal(together, apart[[0, 1, 2, 2]])


def test_a_share_of_the_episodes_leans_with_the_given_strength():
    config = ExplorationConfig(leaning=0.25, strength=2.0)
    drawn = np.asarray(jax.vmap(lambda key: draw_leaning(key, SPEC, config))(jax.random.split(KEY, 4000)))
    leans = (drawn != 0).any(1)
    # Standard deviation of the share: sqrt(0.25 * 0.75 / 4000) = 0.007; of the spread: 2 / sqrt(2 * 4000) = 0.02.
    assert abs(leans.mean() - 0.25) < 0.03
    assert abs(drawn[leans].std() - 2) < 0.1
