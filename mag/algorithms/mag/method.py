"""MAG and MAMBA as methods: their presets, and the paper's numbers that depend on the map."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mag.algorithms.mag.config import MAGConfig, ModelsConfig
from mag.algorithms.method import Changes, Method, enemies_of, nearest_of_several
from mag.planners.config import NoPlanner

if TYPE_CHECKING:
    from mag.algorithms.contract import Algorithm
    from mag.envs import EnvSpec

SMAC_FAMILIES = ("smac_jax", "smax", "starcraft", "smaclite")
"""The families of environments that play SMAC's maps."""

TABLE_1 = {
    "2s_vs_1sc": (5, 10),
    "3s_vs_3z": (5, 10),
    "2s3z": (5, 10),
    "3s_vs_4z": (4, 10),
    "3s_vs_5z": (5, 7),
    "2c_vs_64zg": (5, 7),
    "corridor": (4, 6),
    "3s5z_vs_3s6z": (4, 7),
}
"""L and H of each of the paper's maps (Appendix B, Table 1)."""

SMALL: Changes = {
    "workers": 2,
    "networks.hidden": 64,
    "networks.deterministic": 64,
    "networks.categoricals": 16,
    "networks.classes": 16,
    "networks.attention_layers": 1,
    "networks.heads": 4,
    "replay.batch_size": 16,
    "models.batches": 64,
    "model_reward.batches": 8,
    "model_reward.layers": 2,
    "rollout.num_rollouts": 6,
    "planner.num_trajectories": 3,
    "planner.horizon": 3,
    "ppo.epochs": 3,
    "ppo.minibatch": 500,
}
"""For minutes on two cores: narrower networks, smaller batches, fewer updates per played step."""

DEBUG: Changes = {
    "steps": 300,
    "collect.num_envs": 4,
    "collect.steps": 8,
    "evaluation.every": 200,
    "evaluation.episodes": 4,
    "networks.hidden": 16,
    "networks.deterministic": 16,
    "networks.categoricals": 4,
    "networks.classes": 4,
    "networks.attention_layers": 1,
    "networks.heads": 2,
    "replay.capacity": 2000,
    "replay.learning_starts": 100,
    "replay.sequence_length": 6,
    "replay.batch_size": 4,
    "models.batches": 2,
    "model_reward.batches": 2,
    "model_reward.layers": 2,
    "rollout.num_rollouts": 2,
    "rollout.length": 4,
    "rollout.windows": 0,
    "planner.num_trajectories": 2,
    "planner.horizon": 2,
    "ppo.epochs": 2,
    "ppo.minibatch": 32,
}
"""For tests of a few seconds: everything runs, nothing is learned."""

TUNED: Changes = {
    "steps": 100_000,
    "precision": "tensorfloat32",
    "collect.num_envs": 16,
    "collect.steps": 32,
    "networks.dropout": 0.0,
    "networks.joint_events": True,
    "replay.capacity": 200_000,
    "replay.learning_starts": 2000,
    "models.optimiser": "muon",
    "models.learning_rate": 5e-3,
    "models.learning_rate_decay": 0.99993,
    "models.ema_decay": 0.98,
    "models.reward_bins": 41,
    "models.reward_threshold": 10.0,  # where --models.reward-bins 0 learns the reward itself
    "models.reconstruction_weight": 10.0,
    "models.kl_weight": 8.0,
    "exploration.leaning": 0.5,
    "rollout.windows": 288,
    "rollout.replayed": 64,
    "ppo.weigh_by_continuation": True,
    "ppo.gamma": 0.997,
    "ppo.actor_learning_rate": 1e-3,
    "ppo.critic_learning_rate": 1e-3,
    "ppo.learning_rate_decay": 0.99996,
    "ppo.ema_decay": 0.998,
    "ppo.entropy": 0.01,
    "ppo.entropy_decay": 0.99997,
}
"""What learns best from few steps and updates.

Many environments play, and D_e keeps every step, or nearly every one of 200 000. Deaths and ends are drawn jointly
for the team. Rollouts start from the last posteriors of many windows, and imagined steps after an end do not count.
The critic also learns from real sequences, because small errors of the models accumulate in the values of rollouts.
The models' loss favours what the policy needs most: the observation, whose features are small, latents that can be
foreseen, for a rollout goes on from the prior's draws, and rewards, learned as a distribution. The mean of the
distribution includes the rare win, whose squared error would outweigh all others. Muon needs less than half of Adam's
updates, but its steps are so large that the damage predicted by the models fluctuates by half; the moving average of
their weights does not fluctuate. Play fluctuates too, so the actor has a moving average as well. Learning rates decay
so that at the end neither models nor policy change faster than the other can follow. In half of the training episodes
the team leans towards some actions, and the discount is long: both let it find wins that take long, such as retreats
between shots, which the models cannot imagine before they have been seen. Dropout takes a quarter of the models'
training time and does not improve the fit to the same D_e.
"""


LARGE_TEAM = 6
"""Agents from which on the batches are those of `SMALL_FOR_LARGE_TEAMS`."""
SMALL_FOR_LARGE_TEAMS: Changes = {
    "replay.batch_size": 8,
    "rollout.windows": 144,
    "rollout.replayed": 32,
    "ppo.minibatch": 240,
}
"""Batches of half as many joint states, because the work for a joint state grows with the team."""


CROWD = 9
"""Enemies from which on learning is `SLOWER`."""
SLOWER: Changes = {
    "steps": 200_000,
    "models.learning_rate_decay": 0.999965,
    "ppo.learning_rate_decay": 0.99998,
    "ppo.entropy_decay": 0.999985,
}
"""Twice the steps, in which learning rates and entropy bonus decay as much as `TUNED`'s do in half of them."""


def tuned_for(config: MAGConfig, spec: "EnvSpec") -> Changes:
    """Where there are several enemies, each agent's nearest comes first; with a crowd of them learning takes longer; in
    size `small` large teams have smaller batches."""
    changes = dict(nearest_of_several(config, spec))
    if enemies_of(spec) >= CROWD and config.size != "debug":
        changes |= SLOWER
    if config.size == "small" and spec.n_agents >= LARGE_TEAM:
        changes |= SMALL_FOR_LARGE_TEAMS
    return changes


def published_for(env: str, spec: "EnvSpec | None") -> Changes:
    """Table 1's L and H on the paper's maps, and the environment's reward scale."""
    family, _, map_name = env.partition("/")
    changes: dict[str, Any] = {} if spec is None else {"models.reward_scale": spec.reward_scale}
    if family in SMAC_FAMILIES and map_name in TABLE_1:
        changes["planner.num_trajectories"], changes["planner.horizon"] = TABLE_1[map_name]
    return changes


def unused(config: Any) -> Mapping[str, str]:
    """Without a planner, the options of planner and model reward."""
    return {"planner.": NO_PLANNER, "model_reward.": NO_PLANNER} if config.planner.kind == "none" else {}


NO_PLANNER = "does not plan (planner.kind none)"


def make(config: MAGConfig, spec: "EnvSpec") -> "Algorithm":
    """The algorithm with the world model of the paper."""
    from mag.algorithms.mag import algorithm

    return algorithm.MAG(config, spec)


def mamba_config() -> MAGConfig:
    """MAMBA in its own tuned setting: the models learn at 2e-4."""
    return MAGConfig(algo="mamba", planner=NoPlanner(), models=ModelsConfig(learning_rate=2e-4))


SIZES = {"small": SMALL, "debug": DEBUG}
RECIPES = {"tuned": TUNED}
MAG = Method("mag", MAGConfig, make, SIZES, RECIPES, published_for, unused, tuned_for)
MAMBA = Method("mamba", mamba_config, make, SIZES, RECIPES, published_for, unused, tuned_for)
