"""The options of MAG and MAMBA; the defaults are the paper's numbers.

The paper prints the models' learning rate, R_m's layers and Table 1, and refers to MAMBA for the rest.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mag.algorithms.config import RunConfig, check_heads
from mag.errors import UsageError
from mag.options import choice, number
from mag.planners.config import PlannerConfig, ShootingConfig

if TYPE_CHECKING:
    from mag.envs import EnvSpec


@dataclass(frozen=True)
class ReplayConfig:
    """The environment dataset D_e."""

    capacity: int = number(250_000, least=1)
    """Items kept, over all parallel environments: an item for each step, and those at an episode's start and end."""
    learning_starts: int = number(500, least=0)
    """Items stored before the first update."""
    sequence_length: int = number(20, least=3)
    """Steps of a training sequence."""
    batch_size: int = number(40, least=1)
    """Sequences in a batch. Without `rollout.windows`, the posteriors of such a batch are a rollout's start states."""


@dataclass(frozen=True)
class NetworksConfig:
    """Sizes of the networks (MAMBA's, which MAG keeps)."""

    hidden: int = number(256, least=1)
    """Width of the hidden layers."""
    deterministic: int = number(256, least=1)
    """Size of an agent's recurrent state."""
    categoricals: int = number(32, least=1)
    """Categorical variables of an agent's latent."""
    classes: int = number(32, least=2)
    """Classes of each categorical variable."""
    attention_layers: int = number(3, least=0, most=100)
    """Transformer layers over the agents in the local models."""
    heads: int = number(8, least=1)
    """Attention heads."""
    dropout: float = number(0.1, least=0, below=1, only_with="attention_layers")
    """Dropout in the local models' attention while they are trained."""
    joint_events: bool = choice(False)
    """Whether the prior first draws the episode's end, deaths and a mixture component for the whole team, then each
    agent's latent given these; if not, all variables are drawn independently."""
    stages: int = number(1, least=1)
    """Groups in which the prior draws a latent's variables; each group is conditioned on all agents' earlier groups
    (an autoregressive prior). 1 draws all variables independently."""
    components: int = number(1, least=1)
    """Mixture components of the prior; one is drawn for the whole team. More than one need `joint_events`; the model
    reward is then learned from draws of the likeliest component."""

    @property
    def latent(self) -> int:
        """Size of an agent's latent as one-hot vectors: variables times classes."""
        return self.categoricals * self.classes

    def check(self) -> None:
        """Raise UsageError where heads or stages do not divide what they share, or a mixture lacks joint events."""
        check_heads(self.hidden, self.heads)
        if self.categoricals % self.stages:
            raise UsageError(
                f"networks.stages is {self.stages} and networks.categoricals {self.categoricals}; the stages must "
                "divide the variables"
            )
        if self.components > 1 and not self.joint_events:
            raise UsageError(
                f"networks.components is {self.components}; more than 1 needs networks.joint_events true, which draws "
                "one component for the whole team"
            )


@dataclass(frozen=True)
class ModelsConfig:
    """Line 4: training the local models by one-step prediction."""

    optimiser: Literal["adam", "muon"] = choice("adam")
    """Optimiser; muon updates weight matrices by Muon and all other parameters by Nadam."""
    learning_rate: float = number(5e-4, least=0)
    """Learning rate."""
    learning_rate_decay: float = number(1.0, least=0, most=1)
    """Factor on the learning rate after each batch."""
    ema_decay: float = number(0.0, least=0, below=1)
    """Decay, per update, of the moving average of the models' weights that rollouts, planning and play use; 0 uses
    the latest weights."""
    batches: int = number(60, least=1)
    """Updates in one iteration."""
    max_grad_norm: float = number(100.0, least=0)
    """Gradient norm clip."""
    reward_scale: float = number(1.0, above=0)
    """Factor on the rewards that the models learn to predict; each environment sets it to bring returns to SMAC's
    20."""
    reward_threshold: float = number(1.0, above=0, only_without="reward_bins")
    """Error of a predicted reward beyond which its loss grows linearly. Smaller errors teach the mean reward, much
    larger ones the median, which ignores rare wins."""
    reward_bins: int = number(0, least=0)
    """Bins of a learned distribution over rewards, whose mean is the predicted reward; 0 learns the reward itself.
    Rewards that, times `reward_scale`, lie beyond 21 count as 21."""
    reward_weight: float = number(1.0, least=0)
    """Weight of the reward's error in the models' loss."""
    reconstruction_weight: float = number(1.0, least=0)
    """Weight of the observation's reconstruction in the models' loss."""
    kl_weight: float = number(1.0, least=0)
    """Weight of the KL divergence from posterior to prior, mean over a latent's variables, in the models' loss: how
    much the models learn to predict, beside what they learn to reconstruct."""
    kl_balance: float = number(0.8, least=0, most=1)
    """Share of the KL term that moves the prior towards the posterior."""

    end_factor: float = number(1.0, above=0, source=None)
    """Factor on the probability that an imagined episode ends; needs `networks.joint_events`. The models predict
    fewer ends than there are."""

    def check(self) -> None:
        """Raise UsageError where there is a single bin."""
        if self.reward_bins == 1:
            raise UsageError("models.reward_bins is 1; a distribution takes 2 or more, and 0 learns the reward itself")


@dataclass(frozen=True)
class ModelRewardConfig:
    """Line 5: the model reward that planners maximise, learned from the local models' one-step predictions."""

    kind: Literal["error", "ratio"] = choice("error")
    """What is learned: `error`, each local model's own error, as in the official code, or `ratio`, the log ratio of
    the true and the predicted joint probability (Definition 1, with the sign that makes its maximum the best)."""
    optimiser: Literal["adam", "muon"] = choice("adam")
    """Optimiser; muon updates weight matrices by Muon and all other parameters by Nadam."""
    learning_rate: float = number(5e-4, least=0)
    """Learning rate."""
    learning_rate_decay: float = number(1.0, least=0, most=1)
    """Factor on the learning rate after each batch."""
    batches: int = number(60, least=1)
    """Updates in one iteration."""
    layers: int = number(4, least=1, most=100)
    """Hidden layers."""
    max_grad_norm: float = number(100.0, least=0, source=None)
    """Gradient norm clip; the paper gives none, so this is the models' value."""


@dataclass(frozen=True)
class RolloutConfig:
    """Lines 6-15: playing inside the local models."""

    num_rollouts: int = number(4, least=1)
    """Rollouts, each followed by a policy update, in one iteration."""
    length: int = number(15, least=1)
    """k: steps of a rollout."""
    windows: int = number(0, least=0)
    """Sequences whose last posteriors are the start states. 0 starts from all posteriors of one batch of sequences but
    each sequence's first and last; neighbouring start states are then much alike."""
    burn_in: int = number(8, least=1, source=None, only_with=("windows", "replayed"))
    """Steps at the start of a window or replayed sequence that only fill the recurrent state."""
    starts_per_window: int = number(1, least=1, source=None, only_with="windows")
    """Start states taken from the end of each window."""
    replayed: int = number(0, least=0)
    """Real sequences of a rollout's length, from D_e's newest steps, from which the critic learns in addition to each
    rollout; needs `ppo.weigh_by_continuation`."""
    newest: int = number(8000, least=1, source=None, only_with="replayed")
    """Newest steps of D_e, over all environments, from which the replayed sequences are drawn."""
    chunk_size: int = number(0, least=0, source=None)
    """Start states rolled out at once; 0 takes all on an accelerator and as many as fit the cache on a CPU."""

    @property
    def window_length(self) -> int:
        """Steps of a window: burn-in and start states."""
        return self.burn_in + self.starts_per_window

    @property
    def replayed_length(self) -> int:
        """Steps of a real sequence from which the critic learns: burn-in, k steps, and the step to bootstrap from."""
        return self.burn_in + self.length + 1


@dataclass(frozen=True)
class ExplorationConfig:
    """Line 3: exploration noise on the logits that lasts a whole episode and is the same for all agents, who then lean
    towards some actions; rollouts and greedy play have none."""

    leaning: float = number(0.0, least=0, most=1)
    """Share of the real training episodes in which the team leans; 0 explores by the policy's own draws alone."""
    strength: float = number(2.0, least=0, source=None, only_with="leaning")
    """Standard deviation of what is added to each action's logit, drawn once for all agents and steps of an episode."""
    attacks_as_one: bool = choice(False, source=None, only_with="leaning")
    """Whether one draw counts for all attacks; if not, each attack has its own, and a team among dozens of enemies
    hardly ever leans towards a move."""


@dataclass(frozen=True)
class PPOConfig:
    """Lines 16-18: the policy update."""

    actor_learning_rate: float = number(5e-4, least=0)
    """Adam's learning rate for the actor."""
    critic_learning_rate: float = number(5e-4, least=0)
    """Adam's learning rate for the critic."""
    learning_rate_decay: float = number(1.0, least=0, most=1)
    """Factor on both learning rates after each minibatch."""
    ema_decay: float = number(0.0, least=0, below=1)
    """Decay, per minibatch, of the moving average of the actor's weights used in tests; 0 uses the latest weights.
    Training always plays with the latest weights."""
    weight_decay: float = number(1e-5, least=0)
    """L2 penalty on the actor."""
    max_grad_norm: float = number(100.0, least=0)
    """Gradient norm clip."""
    clip: float = number(0.2, least=0)
    """Clip of the probability ratio."""
    epochs: int = number(5, least=1)
    """Passes over a rollout."""
    minibatch: int = number(2000, least=1)
    """Joint states in a minibatch, at most."""
    entropy: float = number(1e-3, least=0)
    """Entropy coefficient at the start."""
    entropy_decay: float = number(0.99998, least=0, most=1)
    """Factor on the entropy coefficient after each minibatch."""
    gamma: float = number(0.99, least=0, most=1)
    """Discount factor."""
    gae_lambda: float = number(0.95, least=0, most=1)
    """Lambda of the lambda-returns."""
    weigh_by_continuation: bool = choice(False)
    """Whether an imagined state is weighted by the probability that the episode has reached it, and agents that the
    models know to be dead (`networks.joint_events`) are left out of the policy's loss; if not, all weigh the same."""


@dataclass(frozen=True)
class MAGConfig(RunConfig):
    """The options of MAG; without a planner those of MAMBA."""

    replay: ReplayConfig = field(default_factory=ReplayConfig)
    networks: NetworksConfig = field(default_factory=NetworksConfig)
    models: ModelsConfig = field(default_factory=ModelsConfig)
    model_reward: ModelRewardConfig = field(default_factory=ModelRewardConfig)
    exploration: ExplorationConfig = field(default_factory=ExplorationConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    planner: PlannerConfig = field(default_factory=ShootingConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)

    def check(self) -> None:
        """Raise UsageError where workers cannot share the batches, options conflict, or as `check_replay`."""
        super().check()
        for name, size in (
            ("replay.batch_size", self.replay.batch_size),
            ("rollout.windows", self.rollout.windows),
            ("rollout.replayed", self.rollout.replayed),
            ("ppo.minibatch", self.ppo.minibatch),
        ):
            if size % self.workers:
                raise UsageError(f"{name} is {size} and workers {self.workers}; the workers must divide it")
        if self.rollout.replayed and not self.ppo.weigh_by_continuation:
            raise UsageError(
                f"rollout.replayed is {self.rollout.replayed} and ppo.weigh_by_continuation false: only weights keep "
                "real steps out of the actor's loss; give --ppo.weigh-by-continuation true"
            )
        if self.planner.scores_each_agent:
            self.check_each_agent_can_plan()
        if self.models.end_factor != 1 and not self.networks.joint_events:
            raise UsageError(
                f"models.end_factor is {self.models.end_factor} and networks.joint_events false: ends are drawn "
                "only with joint events; give --networks.joint-events true"
            )
        self.check_replay()

    def check_replay(self) -> None:
        """Raise UsageError where D_e, or what counts as its newest steps, is too small for what is drawn from it."""
        envs = f"each of {self.collect.num_envs} envs"
        kept = self.replay.capacity // self.collect.num_envs
        if kept < self.collect.steps:
            raise UsageError(
                f"replay.capacity is {self.replay.capacity}, {kept} steps for {envs}; each must hold what one "
                f"iteration collects ({self.collect.steps})"
            )
        for name, length in self.lengths_drawn().items():
            if kept < length:
                raise UsageError(
                    f"replay.capacity is {self.replay.capacity}, {kept} steps for {envs}, and {name} draws sequences "
                    f"of {length}; raise replay.capacity, or shorten the sequences (replay.sequence_length, "
                    "rollout.burn_in, rollout.length)"
                )
        newest = self.rollout.newest // self.collect.num_envs
        if self.rollout.replayed and newest < self.rollout.replayed_length:
            raise UsageError(
                f"rollout.newest is {self.rollout.newest}, {newest} steps for {envs}, and rollout.replayed draws "
                f"sequences of {self.rollout.replayed_length}; raise rollout.newest"
            )
        if kept * self.collect.num_envs < self.replay.learning_starts:
            raise UsageError(
                f"replay.capacity is {self.replay.capacity} and replay.learning_starts {self.replay.learning_starts}; "
                "the steps held must reach learning_starts"
            )

    def lengths_drawn(self) -> dict[str, int]:
        """The lengths of the sequences drawn from D_e, by the option that asks for them."""
        lengths = {"replay.batch_size": self.replay.sequence_length}
        if self.rollout.windows:
            lengths["rollout.windows"] = self.rollout.window_length
        if self.rollout.replayed:
            lengths["rollout.replayed"] = self.rollout.replayed_length
        return lengths

    def check_for(self, spec: "EnvSpec") -> None:
        """Raise UsageError as `RunConfig.check_for`, and where it is not known which actions attack."""
        super().check_for(spec)
        if self.exploration.attacks_as_one and spec.enemies is None:
            raise UsageError(
                f"exploration.attacks_as_one is true, but {spec.name} does not tell which actions attack "
                "(`EnvSpec.enemies`); give --exploration.attacks-as-one false"
            )

    def check_each_agent_can_plan(self) -> None:
        """Raise UsageError where there is no score of each agent to plan by."""
        for name, value, wanted in (
            ("model_reward.kind", self.model_reward.kind, "error"),
            ("networks.joint_events", self.networks.joint_events, False),
        ):
            if value != wanted:
                raise UsageError(
                    f"{self.planner.kind} plans by a score of each agent, and {name} is {value}; that takes {name} "
                    f"{wanted}, which gives each agent errors and draws of its own"
                )
