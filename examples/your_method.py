"""A method of your own: a module that offers `METHOD`, whose import path is the method's name.

    python -m examples.your_method
    python -m mag train --algo examples.your_method --env probe/one-step

This one is REINFORCE (Williams 1992) for a team without memory: a linear policy on each agent's own observation.
Training, tests, checkpoints, reports and several seeds at once come with the contract (`mag.algorithms.contract`).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

import mag
from mag.algorithms.config import CollectConfig, RunConfig
from mag.algorithms.contract import Play
from mag.algorithms.method import Method
from mag.envs import EnvSpec
from mag.learning.distributions import log_prob, mask_logits, sample_categorical
from mag.learning.parallel import Workers, per_seed
from mag.learning.ppo import lambda_returns, normalised, weighted_mean
from mag.options import number
from mag.play.collecting import Played
from mag.types import Metrics, TimeStep


@dataclass(frozen=True)
class Config(RunConfig):
    """REINFORCE."""

    collect: CollectConfig = field(default_factory=lambda: CollectConfig(num_envs=32, steps=32))
    learning_rate: float = number(0.1, above=0, source=None)
    """Adam's learning rate."""
    gamma: float = number(0.99, least=0, most=1, source=None)
    """Discount factor."""


class Agent(eqx.Module):
    """The joint policy that plays."""

    weight: Float[Array, "obs actions"]

    def logits(self, obs: Float[Array, "*batch obs"], avail: Array) -> Float[Array, "*batch actions"]:
        return mask_logits(obs @ self.weight, avail)

    def initial_carry(self, key: PRNGKeyArray) -> None:
        """Nothing is remembered."""
        return None

    def act(
        self, key: PRNGKeyArray, carry: None, timestep: TimeStep, *, greedy: bool
    ) -> tuple[Int[Array, " agents"], None]:
        logits = self.logits(timestep.obs, timestep.avail)
        return jnp.argmax(logits, -1).astype(jnp.int32) if greedy else sample_categorical(key, logits), carry


class State(NamedTuple):
    """The random key, the policy and its optimiser's state."""

    key: PRNGKeyArray
    agent: Agent
    opt_state: optax.OptState


class Reinforce:
    """The algorithm: methods marked `per_seed` are written for one seed, and compiled for all."""

    def __init__(self, config: Config, spec: EnvSpec) -> None:
        self.config, self.spec = config, spec
        self.num_seeds, self.workers = config.num_seeds, Workers(config.workers)
        self.optimiser = optax.adam(config.learning_rate)

    def footprint(self) -> dict[str, int]:
        """None worth counting."""
        return {}

    @per_seed()
    def init(self, key: PRNGKeyArray) -> State:
        agent = Agent(jnp.zeros((self.spec.obs_dim, self.spec.n_actions)))
        return State(key, agent, self.optimiser.init(agent))

    def agent(self, state: State) -> Agent:
        return state.agent

    def iteration(self, state: State, play: Play) -> tuple[State, Metrics]:
        key, key_play = self.split(state.key)
        return self.learn(state._replace(key=key), play(key_play, state.agent))

    @per_seed()
    def split(self, key: PRNGKeyArray) -> tuple[PRNGKeyArray, ...]:
        return tuple(jax.random.split(key))

    @per_seed(donate=("state",))
    def learn(self, state: State, played: Played) -> tuple[State, Metrics]:
        """One gradient step. An item of what was played holds the action and the reward that led to it."""
        here, after = (
            jax.tree.map(lambda x, part=part: x[:, part], played.arrivals) for part in (slice(-1), slice(1, None))
        )
        acts = played.has_next[:, :-1].astype(jnp.float32)
        returns = jax.vmap(self.returns)(acts * after.reward, acts * after.continues)
        advantage = normalised(returns, acts)

        def loss(agent: Agent) -> tuple[Float[Array, ""], Metrics]:
            logs = log_prob(agent.logits(here.obs, here.avail), jnp.maximum(after.previous_action, 0)).sum(-1)
            loss = -weighted_mean(logs * advantage, acts)
            return loss, {"policy/loss": loss, "policy/return": weighted_mean(returns, acts)}

        gradient, metrics = jax.grad(loss, has_aux=True)(state.agent)
        updates, opt_state = self.optimiser.update(gradient, state.opt_state)
        return state._replace(agent=optax.apply_updates(state.agent, updates), opt_state=opt_state), metrics

    def returns(self, reward: Float[Array, " time"], continues: Float[Array, " time"]) -> Float[Array, " time"]:
        """Discounted sums of rewards up to the end of the episode or of the items played."""
        nothing = jnp.zeros((len(reward) + 1, 1))
        return lambda_returns(reward[:, None], continues[:, None], nothing, gamma=self.config.gamma, gae_lambda=1.0)[
            :, 0
        ]


METHOD = Method("reinforce", Config, Reinforce, sizes={"debug": {"steps": 10_000, "evaluation.every": 2_500}})

if __name__ == "__main__":
    summary = mag.train(env="probe/one-step", algo="examples.your_method", size="debug", run="runs/your-method")
    print(f"return {summary['eval_return'][0]:.2f} of at most 1 with a method of one's own")
