"""Every number of MAG and MAMBA. Each docstring is its `--help`, with the paper's value.

The paper prints the models' learning rate, R_m's layers and Table 1, and refers to MAMBA for the rest.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from mag.algorithms.config import (
    REWARD_SCALE,
    CollectConfig,
    EvaluationConfig,
    RunConfig,
    check_heads,
    check_shares,
)
from mag.errors import UsageError
from mag.runtime import MOST_THREADS


@dataclass(frozen=True)
class ReplayConfig:
    """The environment dataset D_e."""

    capacity: int = 250_000
    """Steps kept, over all parallel environments (paper: 250 000)."""
    learning_starts: int = 500
    """Items stored before the first update (paper: 500)."""
    sequence_length: int = 20
    """Steps of a training sequence (paper: 20)."""
    batch_size: int = 40
    """Sequences in a batch; their posteriors are also the start states of a rollout (paper: 40)."""


@dataclass(frozen=True)
class NetworksConfig:
    """Sizes of the networks (MAMBA's, which MAG keeps)."""

    hidden: int = 256
    """Width of the hidden layers (paper: 256)."""
    deterministic: int = 256
    """Size of the recurrent memory of an agent (paper: 256)."""
    categoricals: int = 32
    """Categorical variables of an agent's latent (paper: 32)."""
    classes: int = 32
    """Classes of each of them (paper: 32)."""
    attention_layers: int = 3
    """Transformer layers over the agents in the local models (paper: 3)."""
    heads: int = 8
    """Attention heads (paper: 8)."""
    dropout: float = 0.1
    """Dropout in the local models' attention while they are trained (MAMBA: 0.1)."""


@dataclass(frozen=True)
class ModelsConfig:
    """Line 4: training the local models by one-step prediction."""

    optimiser: Literal["adam", "muon"] = "adam"
    """Optimiser; muon moves the weight matrices, and Nadam then everything else (paper: adam)."""
    learning_rate: float = 5e-4
    """Learning rate (MAG: 5e-4; MAMBA's tuned setting: 2e-4)."""
    learning_rate_decay: float = 1.0
    """Factor on the learning rate after each batch (paper: 1)."""
    averaging: float = 0.0
    """Decay, per update, of the running mean of the models' weights with which rollouts, planning and play predict;
    0: the weights themselves (paper: 0)."""
    batches: int = 60
    """Updates in one iteration (paper: 60)."""
    max_grad_norm: float = 100.0
    """Gradient norm clip (paper: 100)."""
    reward_scale: float = 1.0
    """Factor on the rewards that the models learn to predict (paper: 1, where returns reach 20, as on SMAC)."""
    reward_threshold: float = 1.0
    """Error of a predicted reward beyond which its loss grows linearly (paper: 1). Below it the mean is learned, far
    beyond it the median, and a rare win is then never expected."""
    reward_weight: float = 1.0
    """Weight of the reward's error in the models' loss (paper: 1)."""
    reconstruction_weight: float = 1.0
    """Weight of the observation's reconstruction in the models' loss (paper: 1)."""
    kl_balance: float = 0.8
    """Share of the KL term that moves the prior towards the posterior (paper: 0.8)."""


@dataclass(frozen=True)
class ModelRewardConfig:
    """Line 5: the learned predictor of the local models' error. MAMBA has none."""

    optimiser: Literal["adam", "muon"] = "adam"
    """Optimiser; muon moves the weight matrices, and Nadam then everything else (paper: adam)."""
    learning_rate: float = 5e-4
    """Learning rate (paper: 5e-4)."""
    learning_rate_decay: float = 1.0
    """Factor on the learning rate after each batch (paper: 1)."""
    batches: int = 60
    """Updates in one iteration (paper: 60)."""
    layers: int = 4
    """Hidden layers (paper: 4)."""
    max_grad_norm: float = 100.0
    """Gradient norm clip (paper: open; the models' is 100)."""


@dataclass(frozen=True)
class RolloutConfig:
    """Lines 6-15: playing inside the local models."""

    rollouts: int = 4
    """Rollouts, each followed by a policy update, in one iteration (paper: 4)."""
    length: int = 15
    """k: steps of a rollout (paper: 15)."""
    at_once: int = 0
    """Start states rolled out at once; 0 means all on an accelerator and what fits the cache on a CPU."""


@dataclass(frozen=True)
class PlanningConfig:
    """Lines 10-12: planning over the models' predictions. MAMBA does not use it."""

    num_trajectories: int = 5
    """L: trajectories to choose from (paper: 5 or 4 by map, Table 1)."""
    horizon: int = 10
    """H: steps looked ahead (paper: 10, 7 or 6 by map, Table 1)."""


@dataclass(frozen=True)
class PPOConfig:
    """Lines 16-18: the policy update."""

    actor_learning_rate: float = 5e-4
    """Adam's learning rate for the actor (paper: 5e-4)."""
    critic_learning_rate: float = 5e-4
    """Adam's learning rate for the critic (paper: 5e-4)."""
    learning_rate_decay: float = 1.0
    """Factor on both learning rates after each minibatch (paper: 1)."""
    averaging: float = 0.0
    """Decay, per minibatch, of the running mean of the actor's weights, which plays tests; 0: the weights themselves
    (paper: 0). In training the weights themselves always play."""
    weight_decay: float = 1e-5
    """L2 penalty on the actor (paper: 1e-5)."""
    max_grad_norm: float = 100.0
    """Gradient norm clip (paper: 100)."""
    clip: float = 0.2
    """Clip of the probability ratio (paper: 0.2)."""
    epochs: int = 5
    """Passes over a rollout (paper: 5)."""
    minibatch: int = 2000
    """Joint states in a minibatch, at most (paper: 2000)."""
    entropy: float = 1e-3
    """Entropy coefficient at the start (paper: 0.001)."""
    entropy_decay: float = 0.99998
    """Factor on the entropy coefficient after each minibatch (paper: 0.99998)."""
    gamma: float = 0.99
    """Discount factor (paper: 0.99)."""
    lambda_: float = 0.95
    """Lambda of the lambda-returns (paper: 0.95)."""


@dataclass(frozen=True)
class MAGConfig(RunConfig):
    """MAG, and MAMBA as MAG without planning."""

    replay: ReplayConfig = field(default_factory=ReplayConfig)
    networks: NetworksConfig = field(default_factory=NetworksConfig)
    models: ModelsConfig = field(default_factory=ModelsConfig)
    model_reward: ModelRewardConfig = field(default_factory=ModelRewardConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    planning: PlanningConfig = field(default_factory=PlanningConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)

    def check(self) -> None:
        """See `RunConfig.check`."""
        if self.workers > MOST_THREADS:
            raise UsageError(f"workers is {self.workers}; it can be at most {MOST_THREADS}")
        for name, size in (("replay.batch_size", self.replay.batch_size), ("ppo.minibatch", self.ppo.minibatch)):
            if size % self.workers:
                raise UsageError(f"{name} is {size} and workers {self.workers}; the workers must divide it")
        networks = self.networks
        check_heads(networks.hidden, networks.heads)
        for name, share in (
            ("networks.dropout", networks.dropout),
            ("models.averaging", self.models.averaging),
            ("ppo.averaging", self.ppo.averaging),
        ):
            if not 0 <= share < 1:
                raise UsageError(f"{name} is {share}; it must be at least 0 and below 1")
        kept, asked = self.replay.capacity // self.collect.num_envs, self.replay.sequence_length
        if kept < max(asked, self.collect.steps):
            raise UsageError(
                f"replay.capacity is {self.replay.capacity}, {kept} steps for each of {self.collect.num_envs} envs; "
                f"each must hold a sequence ({asked}) and what one iteration collects ({self.collect.steps})"
            )
        if kept * self.collect.num_envs < self.replay.learning_starts:
            raise UsageError(
                f"replay.capacity is {self.replay.capacity} and replay.learning_starts {self.replay.learning_starts}; "
                "what is held must reach the steps after which learning starts"
            )
        for name in ("reward_scale", "reward_threshold"):
            value = getattr(self.models, name)
            if not value > 0:
                raise UsageError(f"models.{name} is {value}; it must be above 0")
        check_shares(
            {
                "models.kl_balance": self.models.kl_balance,
                "models.learning_rate_decay": self.models.learning_rate_decay,
                "model_reward.learning_rate_decay": self.model_reward.learning_rate_decay,
                "ppo.learning_rate_decay": self.ppo.learning_rate_decay,
                "ppo.entropy_decay": self.ppo.entropy_decay,
                "ppo.gamma": self.ppo.gamma,
                "ppo.lambda": self.ppo.lambda_,
            }
        )


TABLE_1 = {
    "2s_vs_1sc": PlanningConfig(5, 10),
    "3s_vs_3z": PlanningConfig(5, 10),
    "2s3z": PlanningConfig(5, 10),
    "3s_vs_4z": PlanningConfig(4, 10),
    "3s_vs_5z": PlanningConfig(5, 7),
    "2c_vs_64zg": PlanningConfig(5, 7),
    "corridor": PlanningConfig(4, 6),
    "3s5z_vs_3s6z": PlanningConfig(4, 7),
}
"""L and H of each map (paper, Appendix B, Table 1)."""


def mag_config(algo: str, env: str, preset: str) -> MAGConfig:
    """A preset, which is no longer `auto`, of MAG or MAMBA on an environment."""
    family, _, map_name = env.partition("/")
    planning = TABLE_1.get(map_name, PlanningConfig())
    models = ModelsConfig(reward_scale=REWARD_SCALE.get(family, 1.0))
    return PRESETS[preset](MAGConfig(env=env, algo=algo, planning=planning, models=models))


def _paper(config: MAGConfig) -> MAGConfig:
    """Every number of the paper; MAMBA in its own tuned setting."""
    if config.algo == "mamba":
        models = dataclasses.replace(config.models, learning_rate=2e-4)
        return dataclasses.replace(config, models=models)
    return config


def _cpu(config: MAGConfig) -> MAGConfig:
    """Two cores and minutes: smaller networks, fewer updates per step, many environments.

    Steps are cheap here and updates are not, so D_e keeps only the last 32 000, and the models learn first
    what the policy lives on: rewards, the rare win at its mean, and the observation, whose features are small.
    Muon takes them there in less than half of Adam's updates, with steps so large that the damage they expect sways by
    half: their running mean does not. Play swings, too, and has the actor's. Learning rates decay so that in the end
    neither runs away from the other. Dropout takes a quarter of the models' time, and a fit to the same D_e is no
    better with it.
    """
    return dataclasses.replace(
        config,
        steps=150_000,
        workers=2,
        collect=CollectConfig(num_envs=16, steps=32),
        networks=NetworksConfig(
            hidden=64, deterministic=64, categoricals=16, classes=16, attention_layers=1, heads=4, dropout=0.0
        ),
        replay=dataclasses.replace(config.replay, capacity=32_000, learning_starts=2000, batch_size=16),
        models=dataclasses.replace(
            config.models,
            optimiser="muon",
            learning_rate=5e-3,
            learning_rate_decay=0.9998,
            averaging=0.98,
            batches=32,
            reward_threshold=10.0,
            reward_weight=30.0,
            reconstruction_weight=10.0,
        ),
        model_reward=dataclasses.replace(config.model_reward, batches=8, layers=2),
        rollout=dataclasses.replace(config.rollout, rollouts=1, length=15, at_once=0),
        planning=PlanningConfig(num_trajectories=3, horizon=3),
        ppo=dataclasses.replace(
            config.ppo,
            learning_rate_decay=0.9998,
            averaging=0.998,
            minibatch=500,
            epochs=3,
            entropy=0.01,
            entropy_decay=0.9998,
        ),
    )


def _debug(config: MAGConfig) -> MAGConfig:
    """Seconds, for tests: everything runs, nothing is learned."""
    return dataclasses.replace(
        config,
        steps=300,
        collect=CollectConfig(num_envs=4, steps=8),
        networks=NetworksConfig(hidden=16, deterministic=16, categoricals=4, classes=4, attention_layers=1, heads=2),
        replay=ReplayConfig(capacity=2000, learning_starts=100, sequence_length=6, batch_size=4),
        models=dataclasses.replace(config.models, optimiser="muon", averaging=0.5, batches=2),
        model_reward=dataclasses.replace(config.model_reward, batches=2, layers=2),
        rollout=RolloutConfig(rollouts=2, length=4),
        planning=PlanningConfig(num_trajectories=2, horizon=2),
        ppo=dataclasses.replace(config.ppo, averaging=0.5, epochs=2, minibatch=32),
        evaluation=EvaluationConfig(every=200, episodes=4),
    )


PRESETS = {"paper": _paper, "cpu": _cpu, "debug": _debug}
"""How each preset changes the paper's numbers."""
