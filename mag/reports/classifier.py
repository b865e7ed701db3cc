"""A classifier two-sample test (Lopez-Paz & Oquab 2017): how well a small network tells two kinds of samples apart."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from mag.learning.distributions import bernoulli_nll
from mag.learning.networks import MLP

HIDDEN = 64
UPDATES = 150
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.1


def held_out_accuracy(
    key: PRNGKeyArray,
    first: Float[Array, "pairs features"],
    second: Float[Array, "pairs features"],
    used: Bool[Array, " pairs"],
) -> Float[Array, ""]:
    """The accuracy of telling `first` from `second` on pairs that the classifier was not trained on: 0.5 is chance.

    Each half of the pairs tests a network that was trained on the other half; pairs that are not `used` are left out.
    Both samples of a pair are in the same half, so no sample of a tested pair is trained on. The key is consumed.
    """
    half = jnp.arange(len(used)) < len(used) // 2
    keys = jax.random.split(key)
    correct = [
        _correct(key, first, second, used & part, used & ~part) for key, part in zip(keys, (half, ~half), strict=True)
    ]
    return sum(correct) / jnp.maximum(2 * used.sum(), 1)


def _correct(
    key: PRNGKeyArray, first: Array, second: Array, trained: Bool[Array, " pairs"], tested: Bool[Array, " pairs"]
) -> Float[Array, ""]:
    """Number of tested samples that are classified correctly after training on the others."""
    samples = jnp.stack([first, second])
    weight = jnp.broadcast_to(trained[:, None], samples.shape)
    mean = samples.mean(axis=(0, 1), where=weight)
    samples = (samples - mean) / (samples.std(axis=(0, 1), where=weight) + 1e-3)
    labels = jnp.array([[1.0], [0.0]])
    network = MLP(key, (samples.shape[-1], HIDDEN, HIDDEN, 1), "elu")
    optimiser = optax.adamw(LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def loss(network: MLP) -> Array:
        return jnp.mean(bernoulli_nll(network(samples)[..., 0], labels), where=trained)

    def update(carry: tuple, _: None) -> tuple[tuple, None]:
        network, opt_state = carry
        changes, opt_state = optimiser.update(jax.grad(loss)(network), opt_state, network)
        return (eqx.apply_updates(network, changes), opt_state), None

    (network, _), _ = jax.lax.scan(update, (network, optimiser.init(network)), length=UPDATES)
    right = (network(samples)[..., 0] > 0) == (labels > 0.5)
    return jnp.sum(right, where=tested, dtype=jnp.float32)
