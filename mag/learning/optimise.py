"""Gradient descent, written once for every part that is trained."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray
from optax.contrib import MuonDimensionNumbers, muon

from mag.learning.parallel import ALONE, Workers
from mag.types import Metrics


class MovingAverage(NamedTuple):
    """Exponential moving average of parameters over the updates (Polyak averaging), with bias correction.

    The untrained parameters do not count: after n updates the weights of the n parameters sum to 1, as if the average
    from zero were divided by 1 - decay^n (Kingma & Ba 2015, Sec. 3).
    """

    params: Any
    updates: Int[Array, ""]

    def update(self, params: Any, decay: float) -> "MovingAverage":
        """The average after one more update."""
        updates = self.updates + 1
        share = (1 - decay) / (1 - decay**updates)
        return MovingAverage(optax.incremental_update(params, self.params, share), updates)


class Trainable(NamedTuple):
    """A module under training: its parameters, the optimiser's state, and a moving average of the parameters."""

    params: Any
    opt_state: optax.OptState
    ema: MovingAverage | None = None
    """None if no average is kept."""

    @classmethod
    def create(cls, params: Any, optimiser: optax.GradientTransformation, ema_decay: float = 0.0) -> "Trainable":
        """A module before its first update; a moving average is kept if `ema_decay` is above 0."""
        ema = MovingAverage(params, jnp.zeros((), jnp.int32)) if ema_decay else None
        return cls(params, optimiser.init(params), ema)

    @property
    def weights(self) -> Any:
        """The weights used to act and predict: the moving average if one is kept, else the latest."""
        return self.params if self.ema is None else self.ema.params


def clipped_adam(
    learning_rate: optax.ScalarOrSchedule, max_grad_norm: float, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Adam after a gradient norm clip, with an L2 penalty in the gradient (torch's `weight_decay`)."""
    decay = optax.add_decayed_weights(weight_decay) if weight_decay else optax.identity()
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), decay, optax.adam(learning_rate))


def clipped_rmsprop(learning_rate: optax.ScalarOrSchedule, max_grad_norm: float) -> optax.GradientTransformation:
    """RMSprop with torch's smoothing and epsilon, after a gradient norm clip."""
    return optax.chain(
        optax.clip_by_global_norm(max_grad_norm), optax.rmsprop(learning_rate, decay=0.99, eps_in_sqrt=False)
    )


def clipped_muon(learning_rate: optax.ScalarOrSchedule, max_grad_norm: float) -> optax.GradientTransformation:
    """Muon (Jordan et al. 2024) after a gradient norm clip: weight matrices move by orthogonalised momentum.

    Updates have the size of Adam's (Liu et al. 2025, Eq. 4); parameters that are not matrices are updated by Nadam.
    """
    rule = muon(learning_rate, consistent_rms=0.2, muon_weight_dimension_numbers=matrices)
    return stacked(optax.chain(optax.clip_by_global_norm(max_grad_norm), rule))


def stacked(optimiser: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same steps with all parameters of a shape in one array: far fewer operations to compile and to run."""

    def init(params: Any) -> optax.OptState:
        return optimiser.init(stack(params))

    def update(gradient: Any, state: optax.OptState, params: Any = None) -> tuple[Any, optax.OptState]:
        steps, state = optimiser.update(stack(gradient), state, None if params is None else stack(params))
        return unstack(steps, gradient), state

    return optax.GradientTransformation(init, update)


def stack(tree: Any) -> dict[str, Array]:
    """The arrays of a pytree, stacked by shape."""
    alike: dict[str, list[Array]] = {}
    for leaf in jax.tree.leaves(tree):
        alike.setdefault(str(leaf.shape), []).append(leaf)
    return {shape: jnp.stack(leaves) for shape, leaves in alike.items()}


def unstack(stacks: dict[str, Array], like: Any) -> Any:
    """The pytree whose arrays were stacked; `like` has its structure."""
    rows = {shape: iter(rows) for shape, rows in stacks.items()}
    return jax.tree.map(lambda leaf: next(rows[str(leaf.shape)]), like)


def matrices(stacks: Any) -> Any:
    """Which axes of stacked parameters are those of a matrix; None where the parameters are not matrices."""
    return jax.tree.map(lambda rows: MuonDimensionNumbers(1, 2) if rows.ndim == 3 else None, stacks)


RULES: dict[str, Callable[[optax.ScalarOrSchedule, float], optax.GradientTransformation]] = {
    "adam": clipped_adam,
    "rmsprop": clipped_rmsprop,
    "muon": clipped_muon,
}
"""The optimisers that configurations name, each made from a learning rate and a gradient norm clip."""


def decayed(rate: float, factor: float) -> optax.Schedule:
    """A learning rate that shrinks by a factor with each update."""
    return lambda updates: rate * factor**updates


def make_optimiser(
    name: str, learning_rate: float, learning_rate_decay: float, max_grad_norm: float
) -> optax.GradientTransformation:
    """The optimiser of that name (`RULES`), with a learning rate that decays per update."""
    return RULES[name](decayed(learning_rate, learning_rate_decay), max_grad_norm)


def descend(
    trainable: Trainable,
    loss: Callable[[Any], tuple[Float[Array, ""], Metrics]],
    optimiser: optax.GradientTransformation,
    *,
    ema_decay: float = 0.0,
    workers: Workers = ALONE,
) -> tuple[Trainable, Metrics]:
    """One gradient step on `loss(params) -> (loss, metrics)`, by the mean gradient of the workers."""
    gradient, metrics = workers.mean(jax.grad(loss, has_aux=True)(trainable.params))
    updates, opt_state = optimiser.update(gradient, trainable.opt_state, trainable.params)
    params, ema = optax.apply_updates(trainable.params, updates), trainable.ema
    if ema is not None:
        ema = ema.update(params, ema_decay)
    return Trainable(params, opt_state, ema), metrics


def fit(
    key: PRNGKeyArray,
    trainable: Trainable,
    loss: Callable[[Any, PRNGKeyArray], tuple[Float[Array, ""], Metrics]],
    optimiser: optax.GradientTransformation,
    *,
    batches: int,
    ema_decay: float = 0.0,
    workers: Workers = ALONE,
) -> tuple[Trainable, Metrics]:
    """`batches` gradient steps on `loss(params, key)`, which draws its own batch. Metrics are means.

    The key is consumed.
    """

    def step(trainable: Trainable, key: PRNGKeyArray) -> tuple[Trainable, Metrics]:
        return descend(trainable, lambda params: loss(params, key), optimiser, ema_decay=ema_decay, workers=workers)

    trainable, metrics = jax.lax.scan(step, trainable, jax.random.split(workers.own_key(key), batches))
    return trainable, jax.tree.map(jnp.mean, metrics)


def fit_epochs(
    key: PRNGKeyArray,
    state: Any,
    batch: Any,
    update: Callable[[Any, Any], tuple[Any, Metrics]],
    *,
    epochs: int,
    minibatches: int,
    workers: Workers = ALONE,
) -> tuple[Any, Metrics]:
    """Apply `update(state, minibatch)` to each of `minibatches` equal parts of a batch, in a new order every epoch.

    The leading axis of `batch` is shuffled; a remainder that does not fill the parts is left out. Metrics are means.
    The key is consumed.
    """
    size = jax.tree.leaves(batch)[0].shape[0]
    used = size // minibatches * minibatches

    def minibatch_step(state: Any, index: Array) -> tuple[Any, Metrics]:
        return update(state, jax.tree.map(lambda x: x[index], batch))

    def epoch_step(state: Any, key: PRNGKeyArray) -> tuple[Any, Metrics]:
        order = jax.random.permutation(key, size)[:used].reshape(minibatches, -1)
        return jax.lax.scan(minibatch_step, state, order)

    state, metrics = jax.lax.scan(epoch_step, state, jax.random.split(workers.own_key(key), epochs))
    return state, jax.tree.map(jnp.mean, metrics)
