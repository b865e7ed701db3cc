"""Every metric that a run writes, and how to read it: the one table behind the documentation's glossary.

Numbers from "a run that won" are from MAG on `smac_jax/3s_vs_3z`, size `small`, recipe `tuned`, seed 0, 100 000 steps,
from the second kept row on (`results/lab-book/2026-11-28-3s_vs_3z-mag.json`, one row in ten, with the command). All
other numbers are marked as rules of thumb.
"""

from typing import NamedTuple


class Metric(NamedTuple):
    """One metric of metrics.jsonl and TensorBoard."""

    meaning: str
    reading: str = ""
    """What a healthy run shows, and what to do where it does not."""


METRICS = {
    "env_steps": Metric("Real environment transitions played so far."),
    "seed": Metric("The seed that the row belongs to."),
    "iteration": Metric("Iterations of Algorithm 1's outer loop (on-policy methods: updates) so far."),
    "train/win_rate": Metric(
        "Share of the last 20 training episodes that were won, played by the actor's latest weights.",
        "The paper's protocol. Far below `eval/win_rate` early on, as training samples its actions and, in recipe "
        "`tuned`, the team leans in half of the episodes.",
    ),
    "train/return": Metric("Mean undiscounted return of the last 20 training episodes."),
    "train/episode_length": Metric("Mean length of the last 20 training episodes."),
    "train/episodes": Metric("Training episodes that have ended."),
    "eval/win_rate": Metric(
        "Share of the greedy test episodes (`evaluation.episodes`, by default 32) that were won, in separate "
        "environments (SMAC's protocol).",
        "Played by the moving average of the weights if one is kept. One test has a standard error of up to 0.09.",
    ),
    "eval/return": Metric(
        "Mean undiscounted return of those test episodes.",
        "Rises long before the first win; SMAC's rewards add up to about 20 for a victory.",
    ),
    "eval/return_of_agent_": Metric(
        "Mean return of agent 0, 1, ... in those test episodes, where each agent has its own reward.",
        "Compare with the values of the game's equilibrium; in a zero-sum game `eval/return` is always 0.",
    ),
    "eval/episode_length": Metric("Mean length of those test episodes."),
    "models/loss": Metric(
        "Line 4: the sum of the terms below, reward, reconstruction and KL times their weights.",
        "Falls steeply in the first updates and then slowly; a rise means that play has reached something new.",
    ),
    "models/reconstruction": Metric("Smooth L1 error of the decoded observation, summed over features."),
    "models/reward": Metric(
        "KL divergence from the reward to the distribution over rewards; with `--models.reward-bins 0` the smooth L1 "
        "error of the predicted reward, linear beyond `models.reward_threshold`.",
        "Small early on, because rewards are rare; what counts is whether rare wins are expected: see `mag diagnose`.",
    ),
    "models/continuation": Metric("Negative log-likelihood of the episode going on."),
    "models/available_actions": Metric(
        "Negative log-likelihood of the masks of available actions, summed over actions; 0 without masks."
    ),
    "models/action_information": Metric(
        "Cross-entropy of an agent's own previous action, decoded from its latent.",
        "Near 0 if a latent holds its agent's action; log(number of actions) if it holds nothing about it.",
    ),
    "models/kl": Metric(
        "KL divergence of posterior and prior, mean over a latent's variables: what an observation told the models "
        "that they had not predicted.",
        "Above 0 wherever the environment draws something; about 0.1 in runs that won with recipe `tuned`, 0.24 to "
        "0.27 in one with `models.kl_weight` 1. Near 0 with a poor "
        "reconstruction means that the latents hold nothing: raise `models.reconstruction_weight`.",
    ),
    "models/life": Metric(
        "Negative log-likelihood of each agent being alive or dead; 0 without `networks.joint_events`.",
    ),
    "model_reward/loss": Metric("Line 5: smooth L1 error of the predicted model error, or the classifier's loss."),
    "model_reward/error": Metric("The models' own error, which the model reward learns (`model_reward.kind error`)."),
    "model_reward/accuracy": Metric(
        "Share of real and predicted states told apart (`model_reward.kind ratio`).",
        "0.5 means that predictions cannot be told from what really happened.",
    ),
    "rollout/return": Metric(
        "Mean lambda-return along rollouts inside the models, times `models.reward_scale`.",
        "Far above the discounted return of real episodes means that models or critic are too optimistic; "
        "`mag diagnose` prints both.",
    ),
    "rollout/reward": Metric("Mean predicted reward along rollouts, times `models.reward_scale`."),
    "rollout/continues": Metric(
        "Mean predicted probability that the episode goes on.",
        "About 1 - 1 / `train/episode_length`, if episodes end before their limit; closer to 1 means that the models "
        "do not foresee ends.",
    ),
    "policy/loss": Metric("PPO's clipped surrogate, without the entropy bonus; its sign and size mean little."),
    "policy/entropy": Metric(
        "Mean entropy of the policy over available actions, in nats.",
        "Falls as the policy decides; in a run that won from 0.85 to 0.23. Near 0 early on means that it stopped "
        "exploring: raise the entropy bonus.",
    ),
    "policy/kl": Metric(
        "How far the update moved the policy.",
        "0.0004 to 0.005 in a run that won. Rule of thumb: above a few hundredths the learning rate is too large.",
    ),
    "policy/clipped": Metric(
        "Share of probability ratios outside the clip.",
        "Rule of thumb: up to about 0.3; more means that the learning rate is too large.",
    ),
    "critic/loss": Metric("Half the squared error of the values."),
    "time/iteration": Metric("Seconds of the iteration.", "The first ones include compilation."),
    "time/evaluation": Metric("Seconds of the test."),
    "time/elapsed": Metric("Seconds that the run has trained, without the time between a stop and its resume."),
    "play/restarts": Metric("Host environments: processes that were replaced since the run was last started."),
    "play/dropped_episodes": Metric(
        "Host environments: episodes that broke off since the run was last started.",
        "What an iteration has of such an episode is dropped; what earlier iterations have of it stays.",
    ),
}
"""The metrics by name, in the order of the glossary. `policy/`, `critic/` and `rollout/` are of an iteration's last
policy update."""
