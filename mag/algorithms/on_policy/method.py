"""Attention-PPO, CommNet and G2A as methods: their published numbers, their presets and their networks."""

from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from mag.algorithms.config import CollectConfig
from mag.algorithms.method import Changes, Method, nearest_of_several
from mag.algorithms.on_policy.config import (
    CommNetNetworksConfig,
    G2ANetworksConfig,
    LearningConfig,
    OnPolicyConfig,
)

if TYPE_CHECKING:
    from mag.algorithms.contract import Algorithm
    from mag.envs import EnvSpec

TUNED: Changes = {
    "steps": 500_000,
    "precision": "tensorfloat32",
    "collect.num_envs": 16,
    "collect.steps": 64,
    "collect.time_limit": "cut",
    "evaluation.every": 50_000,
    "learning.optimiser": "adam",
    "learning.learning_rate": 1e-3,
    "learning.critic_learning_rate": 1e-3,
    "learning.ema_decay": 0.98,
    "learning.max_grad_norm": 0.5,
    "learning.epochs": 4,
    "learning.minibatches": 4,
    "learning.entropy": 0.01,
    "learning.normalise": True,
    "learning.gae_lambda": 0.95,
    "learning.target_every": 0,
    "learning.epsilon": 0.0,
    "learning.epsilon_end": 0.0,
}
"""Several environments, and PPO's update for all three methods, because PPO uses each step several times.

After 100 000 steps Attention-PPO and G2A win more with 16 environments than with 64 on 2s3z and 3s_vs_3z, and
Attention-PPO next to nothing with 8 on 3s_vs_3z (five seeds each). The entropy bonus takes the place of G2A's random
actions; a third of that bonus, or twice the epochs, do not help Attention-PPO on 3s_vs_3z. A time limit is a cut; with
64 environments, ending episodes there was no better for Attention-PPO.
"""

TUNED_COMMNET: Changes = {**TUNED, "collect.num_envs": 64}
"""CommNet's batches stay large: with 16 environments it wins no more. It keeps its small value coefficient, as policy
and value share its network; 0.5 is no better on 3s_vs_3z.
"""

DEBUG: Changes = {
    "steps": 300,
    "collect.num_envs": 4,
    "collect.steps": 8,
    "evaluation.every": 200,
    "evaluation.episodes": 4,
}
"""For tests of a few seconds: everything runs, nothing is learned."""


def published_for(env: str, spec: "EnvSpec | None") -> Changes:
    """The environment's reward scale."""
    return {} if spec is None else {"learning.reward_scale": spec.reward_scale}


def no_models(config: Any) -> Mapping[str, str]:
    """Options of the model-based methods, which model-free methods do not have."""
    why = {"planner.": "does not plan", "rollout.": "has no model rollouts"}
    return why | dict.fromkeys(("models.", "model_reward.", "replay."), "learns no models")


def one_network(config: Any) -> Mapping[str, str]:
    """Options that CommNet does not use: those of model-based methods, and a critic's learning rate."""
    return {**no_models(config), "learning.critic_learning_rate": "has no critic of its own"}


def make_with(network: str) -> Callable[[Any, "EnvSpec"], "Algorithm"]:
    """A function that makes an on-policy algorithm with the network `module:class`."""

    def make(config: OnPolicyConfig, spec: "EnvSpec") -> "Algorithm":
        from mag.algorithms.on_policy.algorithm import OnPolicy

        return OnPolicy(config, spec, resolve_name(network))

    return make


def commnet_config() -> OnPolicyConfig:
    """CommNet (Sukhbaatar et al. 2016), recurrent."""
    learning = LearningConfig(
        optimiser="rmsprop",
        learning_rate=1e-3,
        epochs=1,
        entropy=0.0,
        value_coefficient=0.01,
        normalise=False,
        gae_lambda=1.0,
    )
    collect = CollectConfig(num_envs=8, steps=60)
    return OnPolicyConfig(algo="commnet", collect=collect, learning=learning, networks=CommNetNetworksConfig())


def g2a_config() -> OnPolicyConfig:
    """G2A (Liu et al. 2020) in its form GA-Comm."""
    learning = LearningConfig(
        optimiser="rmsprop",
        learning_rate=1e-4,
        critic_learning_rate=1e-3,
        max_grad_norm=10.0,
        epochs=1,
        entropy=0.0,
        normalise=False,
        gae_lambda=0.8,
        target_every=200,
        epsilon=0.5,
        epsilon_end=0.02,
    )
    return OnPolicyConfig(
        algo="g2a", collect=CollectConfig(num_envs=1), learning=learning, networks=G2ANetworksConfig()
    )


ATTENTION_PPO = Method(
    name="attention-ppo",
    config=OnPolicyConfig,
    make=make_with("mag.algorithms.on_policy.attention_ppo:AttentionPPO"),
    sizes={
        "small": {"networks.hidden": 64, "networks.heads": 4},
        "debug": {**DEBUG, "networks.hidden": 16, "networks.heads": 2, "learning.epochs": 2, "learning.minibatches": 2},
    },
    recipes={"tuned": TUNED},
    published_for=published_for,
    unused=no_models,
    tuned_for=nearest_of_several,
)
COMMNET = Method(
    name="commnet",
    config=commnet_config,
    make=make_with("mag.algorithms.on_policy.commnet:CommNet"),
    sizes={"small": {"networks.hidden": 64}, "debug": {**DEBUG, "networks.hidden": 16, "networks.rounds": 2}},
    recipes={"tuned": TUNED_COMMNET},
    published_for=published_for,
    unused=one_network,
    tuned_for=nearest_of_several,
)
G2A = Method(
    name="g2a",
    config=g2a_config,
    make=make_with("mag.algorithms.on_policy.g2a:G2A"),
    sizes={
        "small": {"networks.gate_hidden": 16},
        "debug": {
            **DEBUG,
            "networks.hidden": 16,
            "networks.gate_hidden": 8,
            "networks.attention": 8,
            "networks.critic_hidden": 16,
        },
    },
    recipes={"tuned": TUNED},
    published_for=published_for,
    unused=no_models,
    tuned_for=nearest_of_several,
)
