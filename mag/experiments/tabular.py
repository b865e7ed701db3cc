"""Teams in tasks so small that every distribution is a table: dynamics, local models, policies, returns.

The joint observation is one number, `o = o_1 + k o_2 + k^2 o_3 + ...` for agents with `k` observations each, and so is
the joint action. Everything is exact up to float64.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Policy = Float[np.ndarray, "obs actions"]
"""Probabilities of the joint actions."""
Kernel = Float[np.ndarray, "obs actions next"]
"""Probabilities of the next joint observation."""
Chain = Float[np.ndarray, "obs next"]
"""Probabilities of the next joint observation under a policy."""
Spread = Float[np.ndarray, " obs"]
"""A distribution over joint observations."""


class Task(NamedTuple):
    """A team's task: (o, a) is enough to predict o' and the reward, as the paper assumes."""

    start: Spread
    dynamics: Kernel
    reward: Float[np.ndarray, "obs actions"]


class Sizes(NamedTuple):
    """Sizes of a task."""

    agents: int = 2
    observations: int = 2
    """Number of observations of one agent."""
    actions: int = 2
    """Number of actions of one agent."""

    @property
    def joint_observations(self) -> int:
        return self.observations**self.agents

    @property
    def joint_actions(self) -> int:
        return self.actions**self.agents


def product(local: list[Float[np.ndarray, "obs actions own"]]) -> Kernel:
    """The joint model of local models: the product of the agents' distributions of their own next observations."""
    joint = local[0]
    for each in local[1:]:
        # The first agent's observation changes fastest.
        joint = np.einsum("oax,oay->oayx", joint, each).reshape(*joint.shape[:2], -1)
    return joint


def marginals(joint: Kernel, sizes: Sizes) -> list[Float[np.ndarray, "obs actions own"]]:
    """A joint model's marginals over each agent's own next observation: the best possible local models."""
    axes = tuple(range(2, 2 + sizes.agents))
    shaped = joint.reshape(*joint.shape[:2], *[sizes.observations] * sizes.agents)
    return [shaped.sum(axis=tuple(axis for axis in axes if axis != axes[-1 - agent])) for agent in range(sizes.agents)]


def independent(policies: list[Float[np.ndarray, "own choices"]], sizes: Sizes) -> Policy:
    """The joint policy of agents that each act on their own observation."""
    joint = np.ones((sizes.joint_observations, 1))
    for agent, policy in enumerate(policies):
        own = np.arange(sizes.joint_observations) // sizes.observations**agent % sizes.observations
        joint = (policy[own][:, :, None] * joint[:, None, :]).reshape(len(joint), -1)
    return joint


def chain(dynamics: Kernel, policy: Policy) -> Chain:
    """Transition probabilities of the joint observation under a policy."""
    return np.einsum("oa,oan->on", policy, dynamics)


def discounted_visits(start: Spread, moves: Chain, gamma: float) -> Spread:
    """The sum over t of gamma^t times the distribution of the joint observation at t."""
    return np.linalg.solve(np.eye(len(start)) - gamma * moves.T, start)


def expected_return(task: Task, dynamics: Kernel, policy: Policy, gamma: float) -> float:
    """J: the expected discounted return of a policy under any dynamics."""
    rewards = (policy * task.reward).sum(axis=1)
    return float(discounted_visits(task.start, chain(dynamics, policy), gamma) @ rewards)


def distributions(start: Spread, moves: Chain, steps: int) -> Float[np.ndarray, "steps obs"]:
    """The distribution of the joint observation at t = 0, 1, ..., steps - 1."""
    found = [start]
    for _ in range(steps - 1):
        found.append(found[-1] @ moves)
    return np.stack(found)


def total_variation(p: Float[np.ndarray, "*batch n"], q: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch"]:
    """Half the sum of the absolute differences."""
    return np.abs(p - q).sum(axis=-1) / 2


def divergence(p: Float[np.ndarray, "*batch n"], q: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch"]:
    """KL(p || q); infinite where q is 0 and p is not.

    Computed as the sum of p (r - log(1 + r)) with r = (q - p) / p, which equals the KL and stays accurate where p and q
    are nearly equal.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (q - p) / p
        terms = np.where(p > 0, p * (r - np.log1p(r)), q)
    return np.asarray(terms.sum(axis=-1))


def random_task(
    rng: np.random.Generator, sizes: Sizes, *, signed: bool, dependence: float, sharpness: float = 0.5
) -> Task:
    """A task with random dynamics, drawn from Dirichlet distributions.

    `dependence` is the share of dynamics in which agents' next observations depend on each other, which local models
    cannot predict. `sharpness` is the Dirichlet parameter; the smaller, the closer to a deterministic task.
    """
    joint, actions = sizes.joint_observations, sizes.joint_actions
    dependent = soft(rng.dirichlet(np.full(joint, sharpness), size=(joint, actions)))
    dynamics = dependence * dependent + (1 - dependence) * product(marginals(dependent, sizes))
    reward = rng.uniform(-1 if signed else 0, 1, size=(joint, actions))
    return Task(rng.dirichlet(np.ones(joint)), dynamics, reward)


def soft(p: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch n"]:
    """The distribution with every probability above 0, so that no divergence is infinite."""
    return (p + 1e-6) / (p + 1e-6).sum(axis=-1, keepdims=True)


def random_policy(
    rng: np.random.Generator, sizes: Sizes, sharpness: float = 0.5
) -> list[Float[np.ndarray, "own choices"]]:
    """A random policy for each agent."""
    return list(rng.dirichlet(np.full(sizes.actions, sharpness), size=(sizes.agents, sizes.observations)))


def mixed(first: list[np.ndarray], second: list[np.ndarray], share: float) -> list[np.ndarray]:
    """Mixtures of the agents' distributions: a share `share` of the second, the rest of the first."""
    return [(1 - share) * one + share * other for one, other in zip(first, second, strict=True)]


def wrong_models(rng: np.random.Generator, task: Task, sizes: Sizes, error: float) -> list[np.ndarray]:
    """Local models with a known error: the true marginals, mixed with random distributions.

    The share of the random distributions is `error` at the joint observation where the models err most, and less
    elsewhere, so that errors differ from step to step.
    """
    own = marginals(task.dynamics, sizes)
    where = rng.uniform(size=(sizes.joint_observations, 1, 1))
    other = [soft(rng.dirichlet(np.full(sizes.observations, 0.5), size=each.shape[:2])) for each in own]
    share = error * where / where.max()
    return [(1 - share) * one + share * wrong for one, wrong in zip(own, other, strict=True)]
