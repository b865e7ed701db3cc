"""The model reward's targets and loss against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.local_models import one_step_predictions
from mag.algorithms.mag.model_reward import ErrorReward
from tests.algorithms.mag.test_local_models import MODELS, sequences
from tests.support import reference
from tests.support.small import NETWORKS, SPEC, filled, float64, random_batch, random_state

KEY = jax.random.key(0)
NET = filled(lambda key: ErrorReward(key, MODELS, hidden=NETWORKS.hidden, layers=4))
BATCH = random_batch(1, [[0, 0, 1, 0], [1, 0, 0, 0]])


@pytest.fixture(scope="module")
def learned():
    """Loss, metrics and gradients, and the draws that they were computed with."""

    @jax.jit
    def once(net, models):
        def loss(net, models):
            return net.loss(KEY, models, BATCH)

        (value, metrics), gradients = jax.value_and_grad(loss, (0, 1), has_aux=True)(net, models)
        keys = jax.random.split(KEY, 2)
        predictions = jax.vmap(lambda k, s: one_step_predictions(models, k, s, training=False))(keys, BATCH)
        return value, metrics, gradients, predictions

    return jax.tree.map(np.asarray, once(NET, MODELS))


def test_loss_regresses_the_models_own_error_on_prior_features(learned):
    loss, metrics, _, predictions = learned
    losses, targets = [], []
    for b, sequence in enumerate(sequences(BATCH)):
        errors, memory, *_ = reference.sequence_errors(np, float64(MODELS), sequence, predictions.posterior.stoch[b])
        for t in reference.known(sequence):
            for i in range(SPEC.n_agents):
                # All terms as in the local models' loss, but the reconstruction as a mean over the features.
                target = sum(rows[t][i] for name, rows in errors.items() if name != "reconstruction")
                target += errors["reconstruction"][t][i] / SPEC.obs_dim
                prior = np.eye(NETWORKS.classes)[predictions.prior.stoch[b, t, i]].ravel()
                features = np.concatenate([prior, memory[t][i]])
                predicted = reference.feature_mlp(np, float64(NET.net), features, reference.elu)[0]
                losses.append(reference.smooth_l1(np, predicted - target))
                targets.append(target)
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-4)
    np.testing.assert_allclose(metrics["model_reward/error"], np.mean(targets), rtol=1e-4)
    np.testing.assert_allclose(metrics["model_reward/loss"], loss)


def test_the_models_are_not_moved(learned):
    _, _, (to_net, to_models), _ = learned
    assert all((x == 0).all() for x in jax.tree.leaves(to_models))
    assert all((x != 0).any() for x in jax.tree.leaves(to_net))


def test_error_reads_agents_one_by_one():
    state = random_state(0)
    error = jax.jit(lambda net, s: net.error(s))
    changed = state._replace(deter=jnp.asarray(np.asarray(state.deter) + np.array([[0], [0], [1]], np.float32)))
    same = np.asarray(error(NET, state)) == np.asarray(error(NET, changed))
    np.testing.assert_array_equal(same, [True, True, False])
