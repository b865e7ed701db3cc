"""Gradient descent, written once for every part that is trained."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from mag.config import ModelRewardConfig, ModelsConfig
from mag.parallel import mean_over_workers, own_key
from mag.types import Metrics


class Fitted(NamedTuple):
    """A module and the state of its optimiser."""

    params: Any
    optimiser: optax.OptState


def clipped_adam(
    learning_rate: optax.ScalarOrSchedule, max_grad_norm: float, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Adam behind a gradient norm clip, with an L2 penalty in the gradient (torch's `weight_decay`)."""
    decay = optax.add_decayed_weights(weight_decay) if weight_decay else optax.identity()
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), decay, optax.adam(learning_rate))


def clipped_rmsprop(learning_rate: float, max_grad_norm: float) -> optax.GradientTransformation:
    """RMSprop with torch's smoothing behind a gradient norm clip."""
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optax.rmsprop(learning_rate, decay=0.99))


def decayed(rate: float, factor: float) -> optax.Schedule:
    """A learning rate that shrinks by a factor with each update."""
    return lambda updates: rate * factor**updates


def adam_of(config: ModelsConfig | ModelRewardConfig) -> optax.GradientTransformation:
    """The optimiser that the configuration of line 4 or 5 asks for."""
    return clipped_adam(decayed(config.learning_rate, config.learning_rate_decay), config.max_grad_norm)


def untrained(params: Any, optimiser: optax.GradientTransformation) -> Fitted:
    """A module before its first update."""
    return Fitted(params, optimiser.init(params))


def descend(
    fitted: Fitted,
    loss: Callable[[Any], tuple[Float[Array, ""], Metrics]],
    optimiser: optax.GradientTransformation,
) -> tuple[Fitted, Metrics]:
    """One gradient step on `loss(params) -> (loss, metrics)`, of which each worker has its own."""
    gradient, metrics = mean_over_workers(jax.grad(loss, has_aux=True)(fitted.params))
    updates, state = optimiser.update(gradient, fitted.optimiser, fitted.params)
    return Fitted(optax.apply_updates(fitted.params, updates), state), metrics


def fit(
    key: PRNGKeyArray,
    fitted: Fitted,
    loss: Callable[[Any, PRNGKeyArray], tuple[Float[Array, ""], Metrics]],
    optimiser: optax.GradientTransformation,
    batches: int,
) -> tuple[Fitted, Metrics]:
    """`batches` gradient steps on `loss(params, key)`, which draws its own batch. Metrics are means.

    The key is consumed.
    """

    def step(fitted: Fitted, key: PRNGKeyArray) -> tuple[Fitted, Metrics]:
        return descend(fitted, lambda params: loss(params, key), optimiser)

    fitted, metrics = jax.lax.scan(step, fitted, jax.random.split(own_key(key), batches))
    return fitted, jax.tree.map(jnp.mean, metrics)


def fit_epochs(
    key: PRNGKeyArray,
    state: Any,
    batch: Any,
    update: Callable[[Any, Any], tuple[Any, Metrics]],
    *,
    epochs: int,
    minibatches: int,
) -> tuple[Any, Metrics]:
    """`update(state, minibatch)` with each of `minibatches` equal parts of a batch, in a new order every epoch.

    The leading axis of `batch` is shuffled; what does not fill the parts is left out. Metrics are means. The key is
    consumed.
    """
    size = jax.tree.leaves(batch)[0].shape[0]
    used = size // minibatches * minibatches

    def minibatch_step(state: Any, index: Array) -> tuple[Any, Metrics]:
        return update(state, jax.tree.map(lambda x: x[index], batch))

    def epoch_step(state: Any, key: PRNGKeyArray) -> tuple[Any, Metrics]:
        order = jax.random.permutation(key, size)[:used].reshape(minibatches, -1)
        return jax.lax.scan(minibatch_step, state, order)

    state, metrics = jax.lax.scan(epoch_step, state, jax.random.split(own_key(key), epochs))
    return state, jax.tree.map(jnp.mean, metrics)
