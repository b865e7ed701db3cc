"""Gradient descent, written once for every part that is trained."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from optax.contrib import muon

from mag.algorithms.mag.config import ModelRewardConfig, ModelsConfig
from mag.learning.parallel import mean_over_workers, own_key
from mag.types import Metrics


class Fitted(NamedTuple):
    """A module and the state of its optimiser."""

    params: Any
    optimiser: optax.OptState
    average: Any = None
    """Running mean of the params over the updates, where it is asked for (Polyak averaging)."""

    @property
    def settled(self) -> Any:
        """What others use of it: the running mean where there is one, from which the noise of single steps is gone."""
        return self.params if self.average is None else self.average


def clipped_adam(
    learning_rate: optax.ScalarOrSchedule, max_grad_norm: float, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Adam behind a gradient norm clip, with an L2 penalty in the gradient (torch's `weight_decay`)."""
    decay = optax.add_decayed_weights(weight_decay) if weight_decay else optax.identity()
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), decay, optax.adam(learning_rate))


def clipped_rmsprop(learning_rate: optax.ScalarOrSchedule, max_grad_norm: float) -> optax.GradientTransformation:
    """RMSprop with torch's smoothing and epsilon behind a gradient norm clip."""
    return optax.chain(
        optax.clip_by_global_norm(max_grad_norm), optax.rmsprop(learning_rate, decay=0.99, eps_in_sqrt=False)
    )


def clipped_muon(learning_rate: optax.ScalarOrSchedule, max_grad_norm: float) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) behind a gradient norm clip: a matrix moves by its momentum made orthogonal.

    Its steps have the size of Adam's (Liu et al. 2025, Eq. 4); what is no matrix has Nadam.
    """
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), muon(learning_rate, consistent_rms=0.2))


RULES: dict[str, Callable[[optax.ScalarOrSchedule, float], optax.GradientTransformation]] = {
    "adam": clipped_adam,
    "rmsprop": clipped_rmsprop,
    "muon": clipped_muon,
}
"""The optimisers that configurations name, each from its learning rate and its gradient norm clip."""


def decayed(rate: float, factor: float) -> optax.Schedule:
    """A learning rate that shrinks by a factor with each update."""
    return lambda updates: rate * factor**updates


def optimiser_of(config: ModelsConfig | ModelRewardConfig) -> optax.GradientTransformation:
    """The optimiser that the configuration of line 4 or 5 asks for."""
    rate = decayed(config.learning_rate, config.learning_rate_decay)
    return RULES[config.optimiser](rate, config.max_grad_norm)


def untrained(params: Any, optimiser: optax.GradientTransformation, averaging: float = 0.0) -> Fitted:
    """A module before its first update; with a running mean where `averaging` is above 0."""
    return Fitted(params, optimiser.init(params), params if averaging else None)


def descend(
    fitted: Fitted,
    loss: Callable[[Any], tuple[Float[Array, ""], Metrics]],
    optimiser: optax.GradientTransformation,
    averaging: float = 0.0,
) -> tuple[Fitted, Metrics]:
    """One gradient step on `loss(params) -> (loss, metrics)`, of which each worker has its own.

    A running mean forgets: the step before counts `averaging` times as much.
    """
    gradient, metrics = mean_over_workers(jax.grad(loss, has_aux=True)(fitted.params))
    updates, state = optimiser.update(gradient, fitted.optimiser, fitted.params)
    params, average = optax.apply_updates(fitted.params, updates), fitted.average
    if average is not None:
        average = optax.incremental_update(params, average, 1 - averaging)
    return Fitted(params, state, average), metrics


def fit(
    key: PRNGKeyArray,
    fitted: Fitted,
    loss: Callable[[Any, PRNGKeyArray], tuple[Float[Array, ""], Metrics]],
    optimiser: optax.GradientTransformation,
    batches: int,
    averaging: float = 0.0,
) -> tuple[Fitted, Metrics]:
    """`batches` gradient steps on `loss(params, key)`, which draws its own batch. Metrics are means.

    The key is consumed.
    """

    def step(fitted: Fitted, key: PRNGKeyArray) -> tuple[Fitted, Metrics]:
        return descend(fitted, lambda params: loss(params, key), optimiser, averaging)

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
