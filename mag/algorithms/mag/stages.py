"""An autoregressive prior: a latent's variables are drawn in groups, each conditioned on all agents' earlier groups.

Variables that are drawn independently do not fit together, within an agent and between agents.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from mag.algorithms.mag.config import NetworksConfig
from mag.learning.distributions import sample_categorical
from mag.learning.networks import Linear, look_up


class Stages(eqx.Module):
    """How the variables drawn so far condition the prior of the others, through its hidden layer.

    `hidden` is that layer before its activation, `[..., agents, hidden]`, and `output` the prior's last layer. Stage s
    of S draws the s-th of S groups of equally many variables.
    """

    given_own: Float[Array, "latent hidden"]
    given_others: Float[Array, "latent hidden"]
    count: int = eqx.field(static=True)
    """The number of stages, S."""
    variables: int = eqx.field(static=True)
    """Variables of a group."""
    classes: int = eqx.field(static=True)

    def __init__(self, key: PRNGKeyArray, config: NetworksConfig):
        shape = (config.latent, config.hidden)
        own, others = jax.random.normal(key, (2, *shape)) / config.categoricals**0.5
        self.given_own, self.given_others = own, others
        self.count, self.classes = config.stages, config.classes
        self.variables = config.categoricals // config.stages

    def logits(
        self,
        output: Linear,
        hidden: Float[Array, "*batch agents hidden"],
        drawn: Int[Array, "*batch agents categoricals"],
    ) -> Float[Array, "*batch agents categoricals classes"]:
        """Logits of every group, conditioned on the earlier groups in `drawn`."""
        groups = jnp.split(drawn, self.count, -1)
        return self._in_order(output, hidden, lambda stage, logits: groups[stage])[0]

    def draw(
        self, key: PRNGKeyArray, output: Linear, hidden: Float[Array, "*batch agents hidden"]
    ) -> Int[Array, "*batch agents categoricals"]:
        """One draw of all variables, group after group. The key is consumed."""
        keys = jax.random.split(key, self.count)
        return self._in_order(output, hidden, lambda stage, logits: sample_categorical(keys[stage], logits))[1]

    def _in_order(
        self, output: Linear, hidden: Float[Array, "*batch agents hidden"], choose: Callable[[int, Array], Array]
    ) -> tuple[Array, Array]:
        """Logits and classes of all variables, where `choose` gives a group's classes from its stage and logits."""
        logits, chosen = [], []
        for stage in range(self.count):
            logits.append(self.logits_of(stage, output, hidden))
            chosen.append(choose(stage, logits[-1]))
            hidden = hidden + self.given(stage, chosen[-1])
        return jnp.concatenate(logits, -2), jnp.concatenate(chosen, -1)

    def logits_of(
        self, stage: int, output: Linear, hidden: Float[Array, "*batch agents hidden"]
    ) -> Float[Array, "*batch agents variables classes"]:
        """Logits of one group, from the hidden layer that knows the groups before."""
        part = self.part(stage)
        logits = jax.nn.relu(hidden) @ output.weight[:, part] + output.bias[part]
        return logits.reshape(*logits.shape[:-1], self.variables, self.classes)

    def given(self, stage: int, group: Int[Array, "*batch agents variables"]) -> Float[Array, "*batch agents hidden"]:
        """What one drawn group adds to every agent's hidden layer: its own draws, and the sum of the others'."""
        part = self.part(stage)
        others = look_up(self.given_others[part], group)
        return look_up(self.given_own[part], group) + others.sum(-2, keepdims=True) - others

    def part(self, stage: int) -> slice:
        """The place of a group among a latent's logits."""
        size = self.variables * self.classes
        return slice(stage * size, (stage + 1) * size)
