"""Tiny local models and sequences of every kind of step, for the tests of the core. All sizes differ."""

import jax
import jax.numpy as jnp
import numpy as np

from mag.algorithms.mag.config import ModelsConfig, NetworksConfig
from mag.algorithms.mag.local_models import LocalModels, ModelState
from mag.envs import EnvSpec
from mag.types import Arrival

SPEC = EnvSpec(
    name="small/small",
    n_agents=3,
    obs_dim=5,
    state_dim=None,
    n_actions=4,
    episode_limit=10,
    has_masks=True,
    has_wins=False,
)
NETWORKS = NetworksConfig(
    hidden=16, deterministic=6, categoricals=2, classes=7, attention_layers=1, heads=8, dropout=0.0
)


def small_models(*, seed=0, spec=SPEC, networks=NETWORKS, **config):
    """Local models with random parameters; `config` are options of `ModelsConfig`."""
    return filled(lambda key: LocalModels(key, spec, networks, ModelsConfig(**config)), seed)


def random_state(seed, *batch):
    """Model states with leading axes `batch`."""
    rng = np.random.default_rng(seed)
    stoch = rng.integers(0, NETWORKS.classes, (*batch, SPEC.n_agents, NETWORKS.categoricals))
    deter = rng.uniform(-1, 1, (*batch, SPEC.n_agents, NETWORKS.deterministic))
    return ModelState(jnp.asarray(stoch, jnp.int32), jnp.asarray(deter, jnp.float32))


def random_batch(seed, firsts):
    """Sequences `[batch, time, ...]` of random steps with episode starts where `firsts` says so."""
    rng = np.random.default_rng(seed)
    first = np.asarray(firsts, bool)
    shape = first.shape
    action = rng.integers(0, SPEC.n_actions, (*shape, SPEC.n_agents))
    return Arrival(
        obs=jnp.asarray(2 * rng.normal(size=(*shape, SPEC.n_agents, SPEC.obs_dim)), jnp.float32),
        avail=jnp.asarray(rng.random((*shape, SPEC.n_agents, SPEC.n_actions)) < 0.6),
        alive=jnp.ones((*shape, SPEC.n_agents), bool),
        previous_action=jnp.asarray(np.where(first[..., None], -1, action), jnp.int32),
        reward=jnp.asarray(np.where(first, 0, 2 * rng.normal(size=shape)), jnp.float32),
        continues=jnp.asarray(first | (rng.random(shape) < 0.5), jnp.float32),
        first=jnp.asarray(first),
        state=None,
    )


def filled(make, seed=0, scale=0.4):
    """What `make(key)` makes, with normal numbers of NumPy in place of every parameter: nothing is compiled."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(make, jax.random.key(0))
    return jax.tree.map(lambda x: jnp.asarray(scale * rng.normal(size=x.shape), jnp.float32), shapes)


def float64(tree):
    """The same pytree with NumPy arrays, in double precision where they are real."""

    def convert(x):
        x = np.asarray(x)
        return x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x

    return jax.tree.map(convert, tree)
