"""Every number of the baselines, with the publication's value. Each docstring is its `--help`.

The defaults of the classes are the `paper` preset. What a publication leaves open is marked "open".
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from mag.algorithms.config import (
    REWARD_SCALE,
    CollectConfig,
    EvaluationConfig,
    RunConfig,
    check_heads,
    check_shares,
)
from mag.errors import UsageError


@dataclass(frozen=True)
class LearningConfig:
    """The on-policy update that the baselines share. With one epoch and one minibatch its clip never binds: it is
    the plain policy gradient."""

    optimiser: Literal["adam", "rmsprop"] = "adam"
    """Optimiser (Attention-PPO: adam; CommNet, G2A: rmsprop)."""
    learning_rate: float = 5e-4
    """Learning rate (Attention-PPO: 5e-4; CommNet: 1e-3; G2A: 1e-4)."""
    critic_learning_rate: float = 5e-4
    """Learning rate of the critic, where it is a network of its own (Attention-PPO: 5e-4; G2A: 1e-3)."""
    max_grad_norm: float = 100.0
    """Gradient norm clip (Attention-PPO: 100; CommNet: open; G2A: 10)."""
    epochs: int = 5
    """Passes over what was collected (Attention-PPO: 5; CommNet, G2A: 1)."""
    minibatches: int = 1
    """Parts of a pass; must divide collect.num_envs (Attention-PPO: open; CommNet, G2A: 1)."""
    clip: float = 0.2
    """Clip of the probability ratio (Attention-PPO: 0.2)."""
    entropy: float = 1e-3
    """Entropy coefficient (Attention-PPO: 0.001; CommNet, G2A: 0)."""
    value_coefficient: float = 1.0
    """Coefficient of the value loss, half the squared error; matters where policy and value share a network
    (CommNet: 0.01; later public code has 0.01, the authors' 0.03, of the whole square)."""
    normalise: bool = True
    """Whether advantages are normalised over a batch (Attention-PPO: True; CommNet, G2A: False)."""
    gamma: float = 0.99
    """Discount factor (Attention-PPO, G2A: 0.99; CommNet: open)."""
    lambda_: float = 0.95
    """Lambda of the lambda-returns; 1 is Monte-Carlo (Attention-PPO: 0.95; CommNet: 1; G2A: 0.8)."""
    reward_scale: float = 1.0
    """Factor on the rewards (all: 1, where returns reach 20, as on SMAC)."""
    target_every: int = 0
    """Updates between two copies of the critic that bootstraps; 0: the critic itself (G2A: 200, others: 0)."""
    epsilon: float = 0.0
    """Probability of a uniformly drawn action at the start of training (G2A: 0.5, others: 0)."""
    epsilon_end: float = 0.0
    """That probability at the end of its decay (G2A: 0.02, others: 0)."""
    epsilon_steps: int = 50_000
    """Environment steps over which it decays linearly (G2A: 750 episodes)."""


@dataclass(frozen=True)
class AttentionNetworksConfig:
    """Attention-PPO's networks."""

    hidden: int = 256
    """Width of every layer and of the recurrent memory (256)."""
    heads: int = 8
    """Attention heads (8)."""
    attention_layers: int = 1
    """Transformer layers over the agents (1)."""
    communicate: bool = True
    """Whether the acting agents attend to one another; the critic always does."""


@dataclass(frozen=True)
class CommNetNetworksConfig:
    """CommNet's network."""

    hidden: int = 128
    """Width of the encoder and of the LSTM (128)."""
    rounds: int = 1
    """Communication rounds within a step (1 to 3)."""
    communicate: bool = True
    """Whether the agents hear one another."""


@dataclass(frozen=True)
class G2ANetworksConfig:
    """G2A's networks."""

    hidden: int = 64
    """Width of the encoder and of the recurrent memory (64)."""
    gate_hidden: int = 64
    """Width of each direction of the LSTM that gates (64)."""
    attention: int = 32
    """Size of queries, keys and values (32)."""
    critic_hidden: int = 128
    """Width of the critic's two hidden layers (128)."""
    communicate: bool = True
    """Whether the agents hear one another."""


NetworksConfig = AttentionNetworksConfig | CommNetNetworksConfig | G2ANetworksConfig


@dataclass(frozen=True)
class BaselineConfig(RunConfig):
    """What the baselines have in common."""

    learning: LearningConfig = field(default_factory=LearningConfig)
    networks: NetworksConfig = field(default_factory=AttentionNetworksConfig)

    def check(self) -> None:
        """See `RunConfig.check`."""
        if self.workers != 1:
            raise UsageError(f"workers is {self.workers}; {self.algo} learns with 1 (mag and mamba can have more)")
        if self.collect.num_envs % self.learning.minibatches:
            raise UsageError(
                f"collect.num_envs is {self.collect.num_envs} and learning.minibatches {self.learning.minibatches}; "
                "the minibatches must divide the environments"
            )
        check_shares(
            {
                "learning.gamma": self.learning.gamma,
                "learning.lambda": self.learning.lambda_,
                "learning.epsilon": self.learning.epsilon,
                "learning.epsilon_end": self.learning.epsilon_end,
            }
        )


@dataclass(frozen=True)
class AttentionPPOConfig(BaselineConfig):
    """Attention-PPO: the model-free counterpart of MAG and MAMBA."""

    algo: str = "attention-ppo"
    collect: CollectConfig = field(default_factory=lambda: CollectConfig(num_envs=8, steps=60))
    networks: AttentionNetworksConfig = field(default_factory=AttentionNetworksConfig)

    def check(self) -> None:
        """See `RunConfig.check`."""
        super().check()
        check_heads(self.networks.hidden, self.networks.heads)


@dataclass(frozen=True)
class CommNetConfig(BaselineConfig):
    """CommNet (Sukhbaatar et al. 2016), recurrent."""

    algo: str = "commnet"
    collect: CollectConfig = field(default_factory=lambda: CollectConfig(num_envs=16, steps=500))
    learning: LearningConfig = field(
        default_factory=lambda: LearningConfig(
            optimiser="rmsprop",
            learning_rate=1e-3,
            epochs=1,
            entropy=0.0,
            value_coefficient=0.01,
            normalise=False,
            lambda_=1.0,
        )
    )
    networks: CommNetNetworksConfig = field(default_factory=CommNetNetworksConfig)


@dataclass(frozen=True)
class G2AConfig(BaselineConfig):
    """G2A (Liu et al. 2020), its form GA-Comm."""

    algo: str = "g2a"
    learning: LearningConfig = field(
        default_factory=lambda: LearningConfig(
            optimiser="rmsprop",
            learning_rate=1e-4,
            critic_learning_rate=1e-3,
            max_grad_norm=10.0,
            epochs=1,
            entropy=0.0,
            normalise=False,
            lambda_=0.8,
            target_every=200,
            epsilon=0.5,
            epsilon_end=0.02,
        )
    )
    networks: G2ANetworksConfig = field(default_factory=G2ANetworksConfig)


class Baseline(NamedTuple):
    """A method: its numbers, the sizes of its network in the presets that change them, and its network."""

    config: type[BaselineConfig]
    """Its default `algo` is the method's name."""
    sizes: dict[str, NetworksConfig]
    network: str
    """`module:class`, which waits to be imported until it is needed, as JAX does."""


BASELINES = {
    each.config.algo: each
    for each in (
        Baseline(
            AttentionPPOConfig,
            {
                "cpu": AttentionNetworksConfig(hidden=64, heads=4),
                "debug": AttentionNetworksConfig(hidden=16, heads=2),
            },
            "mag.algorithms.on_policy.attention_ppo:AttentionPPO",
        ),
        Baseline(
            CommNetConfig,
            {
                "cpu": CommNetNetworksConfig(hidden=64),
                "debug": CommNetNetworksConfig(hidden=16, rounds=2),
            },
            "mag.algorithms.on_policy.commnet:CommNet",
        ),
        Baseline(
            G2AConfig,
            {
                "cpu": G2ANetworksConfig(gate_hidden=16),
                "debug": G2ANetworksConfig(hidden=16, gate_hidden=8, attention=8, critic_hidden=16),
            },
            "mag.algorithms.on_policy.g2a:G2A",
        ),
    )
}
"""The methods by name."""


def baseline_config(algo: str, env: str, preset: str) -> BaselineConfig:
    """A preset, which is no longer `auto`, of a baseline on an environment."""
    baseline = BASELINES[algo]
    config = baseline.config(env=env)
    scale = REWARD_SCALE.get(env.partition("/")[0], 1.0)
    config = dataclasses.replace(
        config,
        learning=dataclasses.replace(config.learning, reward_scale=scale),
        networks=baseline.sizes.get(preset, config.networks),
    )
    return _PRESETS[preset](config)


def _paper(config: BaselineConfig) -> BaselineConfig:
    """Every number of the publications."""
    return config


def _cpu(config: BaselineConfig) -> BaselineConfig:
    """Two cores and minutes: many environments, and for all three PPO's update, as it reuses each step.

    Its entropy bonus takes the place of G2A's random actions. CommNet keeps its small value coefficient,
    as policy and value share its network; no other was tried.
    """
    learning = dataclasses.replace(
        config.learning,
        optimiser="adam",
        learning_rate=1e-3,
        critic_learning_rate=1e-3,
        max_grad_norm=0.5,
        epochs=4,
        minibatches=4,
        entropy=0.01,
        normalise=True,
        lambda_=0.95,
        target_every=0,
        epsilon=0.0,
        epsilon_end=0.0,
    )
    return dataclasses.replace(
        config,
        steps=500_000,
        collect=CollectConfig(num_envs=64, steps=64),
        learning=learning,
        evaluation=EvaluationConfig(every=50_000),
    )


def _debug(config: BaselineConfig) -> BaselineConfig:
    """Seconds, for tests: everything runs, nothing is learned."""
    epochs = min(config.learning.epochs, 2)
    return dataclasses.replace(
        config,
        steps=300,
        collect=CollectConfig(num_envs=4, steps=8),
        learning=dataclasses.replace(config.learning, epochs=epochs, minibatches=epochs),
        evaluation=EvaluationConfig(every=200, episodes=4),
    )


_PRESETS = {"paper": _paper, "cpu": _cpu, "debug": _debug}
"""How each preset changes the publications' numbers."""
