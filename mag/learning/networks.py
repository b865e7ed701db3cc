"""Building blocks of every network, with the reference's initialisers.

Unlike Equinox's layers, these compute `x @ weight` on whole arrays (which stays one matrix product under `vmap`), use
the reference's initialisers, and read a latent by table look-ups.
"""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from mag.learning.distributions import Draw, Latent

Initialiser = Literal["xavier", "orthogonal", "small"]
"""`small` is orthogonal with gain 0.01, for the last layer of a policy, which then begins near uniform."""
Activation = Literal["relu", "elu"]
ACTIVATIONS = {"relu": jax.nn.relu, "elu": jax.nn.elu}
_INITIALISERS = {
    "xavier": jax.nn.initializers.glorot_uniform(),
    "orthogonal": jax.nn.initializers.orthogonal(),
    "small": jax.nn.initializers.orthogonal(0.01),
}


def _uniform_bias(key: PRNGKeyArray, fan_in: int, size: int) -> Float[Array, " size"]:
    """Torch's default bias, which the reference keeps: uniform within 1/sqrt(fan_in)."""
    bound = 1 / np.sqrt(fan_in)
    return jax.random.uniform(key, (size,), minval=-bound, maxval=bound)


class Linear(eqx.Module):
    """`x @ weight + bias`, `[..., inputs] -> [..., outputs]`."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, key: PRNGKeyArray, inputs: int, outputs: int, init: Initialiser = "xavier"):
        key_weight, key_bias = jax.random.split(key)
        self.weight = _INITIALISERS[init](key_weight, (inputs, outputs))
        self.bias = _uniform_bias(key_bias, inputs, outputs)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return x @ self.weight + self.bias


def _without_bias(linear: Linear) -> Linear:
    """The layer with its bias at 0, as torch initialises attention."""
    return eqx.tree_at(lambda layer: layer.bias, linear, jnp.zeros_like(linear.bias))


class MLP(eqx.Module):
    """Linear layers of the given sizes with an activation between them, none after the last."""

    layers: tuple[Linear, ...]
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        key: PRNGKeyArray,
        sizes: tuple[int, ...],
        activation: Activation,
        init: Initialiser = "xavier",
        *,
        last: Initialiser | None = None,
    ):
        """`last` initialises the last layer, `init` all others; by default both are `init`."""
        keys = jax.random.split(key, len(sizes) - 1)
        inits = [init] * (len(keys) - 1) + [last or init]
        parts = zip(keys, sizes[:-1], sizes[1:], inits, strict=True)
        self.layers = tuple(Linear(k, i, o, each) for k, i, o, each in parts)
        self.activation = activation

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        for layer in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](layer(x))
        return self.layers[-1](x)


class SplitLinear(eqx.Module):
    """Linear map of two inputs, `concat(left, right) @ weight + bias`, whose weight is kept in two parts.

    The products with the two parts can be computed separately; if the left input is a latent, by table look-ups.
    """

    left: Float[Array, "lefts outputs"]
    right: Float[Array, "rights outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, key: PRNGKeyArray, left: int, right: int, outputs: int, init: Initialiser = "xavier"):
        whole = Linear(key, left + right, outputs, init)
        self.left, self.right = whole.weight[:left], whole.weight[left:]
        self.bias = whole.bias

    def __call__(self, latent: Latent, right: Float[Array, "agents rights"]) -> Float[Array, "agents outputs"]:
        return self.embed(latent) + right @ self.right + self.bias

    def embed(self, latent: Latent) -> Float[Array, "agents outputs"]:
        """A latent's part of the product, `one_hot(latent) @ left`."""
        if isinstance(latent, Draw):
            chosen = look_up(self.left, latent.classes)
            return pass_through(chosen, latent.probabilities, jax.lax.stop_gradient(self.left))
        return look_up(self.left, latent)


def look_up(
    table: Float[Array, "latent outputs"], classes: Int[Array, "*batch categoricals"]
) -> Float[Array, "*batch outputs"]:
    """`one_hot(classes) @ table` as a sum of rows: on a CPU seven times as fast, forwards and backwards.

    The loop takes one variable at a time, so each step reads (backwards: adds to) a table that fits the cache.
    """
    variables, outputs = classes.shape[-1], table.shape[-1]

    def add(total: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        table, chosen = inputs
        return total + table.at[chosen].get(mode="promise_in_bounds"), None

    start = jnp.zeros((*classes.shape[:-1], outputs), table.dtype)
    inputs = table.reshape(variables, -1, outputs), jnp.moveaxis(classes, -1, 0)
    return jax.lax.scan(add, start, inputs)[0]


@jax.custom_jvp
def pass_through(
    chosen: Float[Array, "agents outputs"],
    probabilities: Float[Array, "agents categoricals classes"],
    table: Float[Array, "latent outputs"],
) -> Float[Array, "agents outputs"]:
    """`chosen`, with the derivative of `probabilities @ table` added: the gradient goes straight through."""
    return chosen


@pass_through.defjvp
def _pass_through_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    chosen, _, table = primals
    chosen_dot, probabilities_dot, _ = tangents
    return chosen, chosen_dot + _flat(probabilities_dot) @ table


def _flat(stoch: Float[Array, "*agents categoricals classes"]) -> Float[Array, "*agents latent"]:
    return stoch.reshape(*stoch.shape[:-2], -1)


class GRUCell(eqx.Module):
    """GRU in torch's convention: the reset gate multiplies the product with the hidden matrix, bias included."""

    inputs: Linear
    hidden: Linear

    def __init__(self, key: PRNGKeyArray, inputs: int, size: int):
        key_inputs, key_hidden = jax.random.split(key)
        self.inputs = Linear(key_inputs, inputs, 3 * size)
        self.hidden = Linear(key_hidden, size, 3 * size)

    def __call__(self, x: Float[Array, "*batch inputs"], h: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        x_reset, x_update, x_new = jnp.split(self.inputs(x), 3, -1)
        h_reset, h_update, h_new = jnp.split(self.hidden(h), 3, -1)
        update = jax.nn.sigmoid(x_update + h_update)
        new = jnp.tanh(x_new + jax.nn.sigmoid(x_reset + h_reset) * h_new)
        return (1 - update) * new + update * h


class LSTMState(NamedTuple):
    """The recurrent state of an LSTM."""

    hidden: Float[Array, "*batch size"]
    cell: Float[Array, "*batch size"]


class LSTMCell(eqx.Module):
    """LSTM (Hochreiter & Schmidhuber 1997) with a forget gate."""

    inputs: Linear
    hidden: Linear

    def __init__(self, key: PRNGKeyArray, inputs: int, size: int):
        key_inputs, key_hidden = jax.random.split(key)
        self.inputs = Linear(key_inputs, inputs, 4 * size)
        self.hidden = Linear(key_hidden, size, 4 * size)

    def __call__(self, x: Float[Array, "*batch inputs"], state: LSTMState) -> LSTMState:
        return self.update(self.inputs(x), state)

    def update(self, x: Float[Array, "*batch gates"], state: LSTMState) -> LSTMState:
        """The next state, from the input's product with the input matrix, `inputs(x)`."""
        input_gate, forget_gate, new, output_gate = jnp.split(x + self.hidden(state.hidden), 4, -1)
        cell = jax.nn.sigmoid(forget_gate) * state.cell + jax.nn.sigmoid(input_gate) * jnp.tanh(new)
        return LSTMState(jax.nn.sigmoid(output_gate) * jnp.tanh(cell), cell)


class LayerNorm(eqx.Module):
    """Layer normalisation over the features, epsilon 1e-5."""

    scale: Float[Array, " size"]
    bias: Float[Array, " size"]

    def __init__(self, size: int):
        self.scale, self.bias = jnp.ones(size), jnp.zeros(size)

    def __call__(self, x: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + 1e-5) * self.scale + self.bias


def dropout(key: PRNGKeyArray | None, rate: float, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Zero each element with probability `rate` and rescale the others; without a key, `x` itself.

    Each element takes 16 random bits, because random bits dominate the cost; the rate is exact to 1e-5.
    """
    if key is None or rate == 0:
        return x
    pairs = jax.random.bits(key, (-(-x.size // 2),))
    bits = jax.lax.bitcast_convert_type(pairs, jnp.uint16).reshape(-1)[: x.size].reshape(x.shape)
    return jnp.where(bits >= min(round(rate * 2**16), 2**16 - 1), x / (1 - rate), 0)


class TransformerLayer(eqx.Module):
    """One post-norm transformer encoder layer over the agents, feed-forward as wide as the model, ReLU."""

    qkv: Linear
    out: Linear
    feed_forward: MLP
    norm_attention: LayerNorm
    norm_feed_forward: LayerNorm
    heads: int = eqx.field(static=True)

    def __init__(self, key: PRNGKeyArray, size: int, heads: int):
        keys = jax.random.split(key, 3)
        self.qkv = _without_bias(Linear(keys[0], size, 3 * size))
        self.out = _without_bias(Linear(keys[1], size, size))
        self.feed_forward = MLP(keys[2], (size, size, size), "relu")
        self.norm_attention, self.norm_feed_forward = LayerNorm(size), LayerNorm(size)
        self.heads = heads

    def __call__(
        self,
        x: Float[Array, "agents size"],
        *,
        heard: Bool[Array, "agents agents"] | None = None,
        key: PRNGKeyArray | None = None,
        rate: float = 0.0,
    ) -> Float[Array, "agents size"]:
        keys = (None,) * 4 if key is None else jax.random.split(key, 4)
        x = self.norm_attention(x + dropout(keys[0], rate, self.attend(x, heard=heard, key=keys[1], rate=rate)))
        hidden, last = self.feed_forward.layers
        y = last(dropout(keys[2], rate, jax.nn.relu(hidden(x))))
        return self.norm_feed_forward(x + dropout(keys[3], rate, y))

    def attend(
        self,
        x: Float[Array, "agents size"],
        *,
        heard: Bool[Array, "agents agents"] | None = None,
        key: PRNGKeyArray | None = None,
        rate: float = 0.0,
    ) -> Float[Array, "agents size"]:
        """Multi-head attention. Agents are few, so the values are mixed in a fused elementwise loop."""
        agents, size = x.shape
        split = (agents, self.heads, size // self.heads)
        q, k, v = (part.reshape(split) for part in jnp.split(self.qkv(x), 3, -1))
        scores = jnp.einsum("ihd,jhd->ijh", q, k) / np.sqrt(split[-1])
        if heard is not None:
            scores = jnp.where(heard[..., None], scores, -1e10)
        weights = dropout(key, rate, jax.nn.softmax(scores, axis=1))
        mixed = jnp.zeros(split)
        for j in range(agents):
            mixed += weights[:, j, :, None] * v[j]
        return self.out(mixed.reshape(agents, size))


class AgentAttention(eqx.Module):
    """The paper's Attention over agents: a sinusoidal code of the agent's index is added, then layers follow."""

    layers: tuple[TransformerLayer, ...]

    def __init__(self, key: PRNGKeyArray, size: int, heads: int, layers: int):
        self.layers = tuple(TransformerLayer(k, size, heads) for k in jax.random.split(key, layers))

    def __call__(
        self,
        x: Float[Array, "agents size"],
        *,
        heard: Bool[Array, "agents agents"] | None = None,
        key: PRNGKeyArray | None = None,
        rate: float = 0.0,
    ) -> Float[Array, "agents size"]:
        """Row i of `heard` says whom agent i attends to (everyone if it is not given).

        With a key, dropout at the given rate (training of the local models only).
        """
        x = x + agent_code(*x.shape)
        keys = (None,) * len(self.layers) if key is None else jax.random.split(key, len(self.layers))
        for layer, layer_key in zip(self.layers, keys, strict=True):
            x = layer(x, heard=heard, key=layer_key, rate=rate)
        return x


def agent_code(agents: int, size: int) -> np.ndarray:
    """Sinusoidal code of the agent's index, `[agents, size]` (Vaswani et al. 2017, Sec. 3.5)."""
    column = np.arange(size)
    angle = np.arange(agents)[:, None] / 10_000 ** (2 * (column // 2) / size)
    return np.where(column % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)
