"""The options of the model-free methods; the defaults are the publications' numbers."""

from dataclasses import dataclass, field
from typing import Literal

from mag.algorithms.config import CollectConfig, RunConfig, check_heads
from mag.errors import UsageError
from mag.options import choice, number


@dataclass(frozen=True)
class LearningConfig:
    """The on-policy update. With one epoch of one minibatch the clip never binds, and the update is the plain policy
    gradient."""

    optimiser: Literal["adam", "rmsprop"] = choice("adam")
    """Optimiser."""
    learning_rate: float = number(5e-4, least=0)
    """Learning rate."""
    critic_learning_rate: float = number(5e-4, least=0)
    """Learning rate of a critic that is a network of its own."""
    ema_decay: float = number(0.0, least=0, below=1)
    """Decay, per update, of the moving average of the weights used in tests; 0 uses the latest weights. Training
    always plays with the latest weights."""
    max_grad_norm: float = number(100.0, least=0)
    """Gradient norm clip; CommNet's publication gives none."""
    epochs: int = number(5, least=1)
    """Passes over the collected segments."""
    minibatches: int = number(1, least=1)
    """Minibatches in a pass; the number must divide collect.num_envs. Attention-PPO's publication gives none."""
    clip: float = number(0.2, least=0)
    """Clip of the probability ratio."""
    entropy: float = number(1e-3, least=0)
    """Entropy coefficient."""
    value_coefficient: float = number(1.0, least=0)
    """Coefficient of the value loss, half the squared error; it matters where policy and value share a network, as in
    CommNet (on the whole squared error, later public code has 0.01, the authors' code 0.03)."""
    normalise: bool = choice(True)
    """Whether advantages are normalised over a batch."""
    gamma: float = number(0.99, least=0, most=1)
    """Discount factor; CommNet's publication gives none."""
    gae_lambda: float = number(0.95, least=0, most=1)
    """Lambda of the lambda-returns; 1 is Monte-Carlo."""
    reward_scale: float = number(1.0, least=0)
    """Factor on the rewards; each environment sets it to bring returns to SMAC's 20."""
    target_every: int = number(0, least=0)
    """Updates between two copies of the critic to the target, whose values bootstrap; 0 uses the latest critic."""
    epsilon: float = number(0.0, least=0, most=1)
    """Probability of a uniformly drawn action at the start of training."""
    epsilon_end: float = number(0.0, least=0, most=1)
    """Probability of a uniformly drawn action at the end of its decay."""
    epsilon_steps: int = number(50_000, least=1, only_with=("epsilon", "epsilon_end"))
    """Environment steps over which epsilon decays linearly to epsilon_end; G2A's publication says 750 episodes."""


@dataclass(frozen=True)
class AttentionNetworksConfig:
    """Attention-PPO's networks."""

    hidden: int = number(256, least=1)
    """Width of every layer and of the recurrent state."""
    heads: int = number(8, least=1)
    """Attention heads."""
    attention_layers: int = number(1, least=0, most=100)
    """Transformer layers over the agents."""
    communicate: bool = choice(True)
    """Whether the acting agents attend to one another; the critic always does."""

    def check(self) -> None:
        """Raise UsageError where the heads do not divide the width."""
        check_heads(self.hidden, self.heads)


@dataclass(frozen=True)
class CommNetNetworksConfig:
    """CommNet's network."""

    hidden: int = number(128, least=1)
    """Width of the encoder and of the LSTM."""
    rounds: int = number(1, least=1, most=100)
    """Communication rounds within a step; the publication has 1 to 3."""
    communicate: bool = choice(True)
    """Whether agents receive messages from one another."""


@dataclass(frozen=True)
class G2ANetworksConfig:
    """G2A's networks."""

    hidden: int = number(64, least=1)
    """Width of the encoder and of the recurrent state."""
    gate_hidden: int = number(64, least=1)
    """Width of each direction of the hard attention's LSTM."""
    attention: int = number(32, least=1)
    """Size of queries, keys and values."""
    critic_hidden: int = number(128, least=1)
    """Width of the critic's two hidden layers."""
    communicate: bool = choice(True)
    """Whether agents receive messages from one another."""


NetworksConfig = AttentionNetworksConfig | CommNetNetworksConfig | G2ANetworksConfig


@dataclass(frozen=True)
class OnPolicyConfig(RunConfig):
    """The options that the model-free methods share."""

    algo: str = "attention-ppo"
    collect: CollectConfig = field(default_factory=lambda: CollectConfig(num_envs=8))
    learning: LearningConfig = field(default_factory=LearningConfig)
    networks: NetworksConfig = field(default_factory=AttentionNetworksConfig)

    def check(self) -> None:
        """Raise UsageError for several workers, play during learning, or minibatches that cannot divide a batch."""
        super().check()
        if self.workers != 1:
            raise UsageError(f"workers is {self.workers}; {self.algo} learns with 1 (mag and mamba can have more)")
        if self.host.overlap:
            raise UsageError(
                f"host.overlap is true, but {self.algo} learns from what its newest policy has just played; "
                "leave it false (mag and mamba can play while they learn)"
            )
        if self.collect.num_envs % self.learning.minibatches:
            raise UsageError(
                f"collect.num_envs is {self.collect.num_envs} and learning.minibatches {self.learning.minibatches}; "
                "the minibatches must divide the environments"
            )
