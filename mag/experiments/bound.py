"""Theorem 1 and Appendix A on tabular tasks: every quantity exactly, and each inequality of the proof.

The paper's p_1 is the product of the local models with the policy pi, and p_2 the environment.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from mag.experiments.tabular import (
    Policy,
    Task,
    chain,
    discounted_visits,
    distributions,
    divergence,
    expected_return,
    product,
    total_variation,
)

MOST_STEPS = 2000
"""Steps over which maxima over time are taken; the sums over time are of all steps."""
SLACK = 1e-9
"""What float64 may get wrong, relative to the larger side."""


class Case(NamedTuple):
    """What the theorem is about."""

    task: Task
    models: list[Float[np.ndarray, "obs actions own"]]
    """Local models, one for each agent."""
    policy: Policy
    data_policy: Policy
    """pi_D, which collected the data."""
    gamma: float


class Quantities(NamedTuple):
    """Everything that Theorem 1 and its proof speak of."""

    r_max: float
    """Largest reward, as the paper defines R_max."""
    r_abs: float
    """Largest absolute reward, which the proof needs."""
    gamma: float
    j_env: float
    """J(pi)."""
    j_model: float
    """J^P_hat(pi)."""
    j_data: float
    """J(pi_D)."""
    epsilon_policy: float
    """epsilon_pi."""
    epsilon_model: Float[np.ndarray, " steps"]
    """epsilon_m_t for t = 1, 2, ...: E_{t-1} max_a sqrt(2 KL)."""
    discounted: float
    """The sum over t = 1, 2, ... of gamma^t epsilon_m_t, all of it."""
    delta: float
    """delta of Appendix A.2: max over a and t of E_{t-1} of the total variation."""
    delta_within: float
    """The same with the maximum over actions within the expectation, as Eq. 9 has it: max_t E_{t-1} max_a."""
    drift: Float[np.ndarray, " steps"]
    """Total variation of the joint observation at t = 0, 1, ..., between model with pi and environment with pi_D."""

    @property
    def gap(self) -> float:
        """|J(pi) - J^P_hat(pi)|, which Theorem 1 bounds."""
        return abs(self.j_env - self.j_model)

    def bound(self, policy_term: float, model_term: float, r_max: float | None = None) -> float:
        """R_max / (1 - gamma)^2 (policy term + model term)."""
        return (self.r_abs if r_max is None else r_max) / (1 - self.gamma) ** 2 * (policy_term + model_term)

    @property
    def model_term(self) -> float:
        """(1 - gamma) times the discounted sum of the model's errors."""
        return (1 - self.gamma) * self.discounted

    @property
    def greatest_error(self) -> float:
        """max_t epsilon_m_t."""
        return float(self.epsilon_model.max())

    @property
    def theorem(self) -> float:
        """The bound as printed, with R_max = max |R|."""
        return self.bound(2 * self.epsilon_policy, self.model_term)

    @property
    def theorem_direct(self) -> float:
        """Lemma 1 between environment and model with one and the same policy: no policy term is needed."""
        return self.bound(0.0, self.model_term)

    @property
    def theorem_of_steps(self) -> float:
        """The bound with the constants that the proof's steps give on its way over pi_D."""
        return self.bound(4 * self.epsilon_policy, self.model_term)

    @property
    def maximum_bound(self) -> float:
        """The bound with every epsilon_m_t scaled up to the greatest."""
        return self.bound(2 * self.epsilon_policy, self.gamma * self.greatest_error)

    @property
    def maximum_bound_as_printed(self) -> float:
        """Eq. 20 with delta as A.2 defines it."""
        return self.bound(2 * self.epsilon_policy, self.gamma * self.delta)


def quantities(case: Case) -> Quantities:
    """Everything about a case."""
    task, models, policy, data_policy, gamma = case
    joint = product(models)
    moves = chain(joint, policy)
    seen = settled(task.start, moves)
    wrong = np.sqrt(2 * divergence(joint, task.dynamics)).max(axis=1)
    variation = total_variation(joint, task.dynamics)
    real = distributions(task.start, chain(task.dynamics, data_policy), len(seen))
    visits = discounted_visits(task.start, moves, gamma)
    return Quantities(
        r_max=float(task.reward.max()),
        r_abs=float(np.abs(task.reward).max()),
        gamma=gamma,
        j_env=expected_return(task, task.dynamics, policy, gamma),
        j_model=expected_return(task, joint, policy, gamma),
        j_data=expected_return(task, task.dynamics, data_policy, gamma),
        epsilon_policy=float(total_variation(policy, data_policy).max()),
        epsilon_model=seen @ wrong,
        discounted=float(gamma * visits @ wrong),
        delta=float((seen @ variation).max()),
        delta_within=float((seen @ variation.max(axis=1)).max()),
        drift=total_variation(seen, real),
    )


def settled(start: Float[np.ndarray, " obs"], moves: Float[np.ndarray, "obs obs"]) -> Float[np.ndarray, "steps obs"]:
    """The distributions at t = 0, 1, ... until they no longer change, or `MOST_STEPS` of them."""
    found = [start]
    while len(found) < MOST_STEPS:
        found.append(found[-1] @ moves)
        if np.abs(found[-1] - found[-2]).max() < 1e-13:
            break
    return np.stack(found)


class Inequality(NamedTuple):
    """`left <= right`, somewhere in the paper or in its place."""

    where: str
    says: str
    left: float
    right: float

    @property
    def holds(self) -> bool:
        return self.left <= self.right + SLACK * max(1.0, abs(self.left), abs(self.right))

    @property
    def ratio(self) -> float:
        """Left over right: above 1 where the inequality is violated; NaN where the right is 0 and it holds."""
        return self.left / self.right if self.right > 0 else (np.nan if self.holds else np.inf)


def inequalities(q: Quantities) -> list[Inequality]:
    """Every inequality, as printed and as mended, on one case."""
    eps, gamma = q.epsilon_policy, q.gamma
    shift, crossed = abs(q.j_env - q.j_data), abs(q.j_data - q.j_model)
    steps = np.arange(len(q.drift))
    errors = np.concatenate([[0.0], np.cumsum(q.epsilon_model)[:-1]])
    variation = float((q.drift - steps * (eps + q.delta)).max())
    return [
        Inequality("Theorem 1", "as printed, with R_max = max |R|", q.gap, q.theorem),
        Inequality("Theorem 1", "as printed, with R_max = max R", q.gap, q.bound(2 * eps, q.model_term, q.r_max)),
        Inequality("Theorem 1", "without its policy term", q.gap, q.theorem_direct),
        Inequality("Lemma 1", "as printed, for pi and pi_D in the environment", shift, q.bound(eps, 0.0)),
        Inequality("Lemma 1", "with twice the policy term", shift, q.bound(2 * eps, 0.0)),
        Inequality("Lemma 1", "as printed, for pi_D there and pi in the model", crossed, q.bound(eps, q.model_term)),
        Inequality("Lemma 1", "the same with twice the policy term", crossed, q.bound(2 * eps, q.model_term)),
        Inequality("Eq. 11", "drift at every step", float((q.drift - steps * eps - errors / 2).max()), 0.0),
        Inequality("Eq. 19", "drift at every step, delta as defined", variation, 0.0),
        Inequality("Eq. 20", "as printed", q.gap, q.maximum_bound_as_printed),
        Inequality("Eq. 20", "with delta = max_t epsilon_m_t", q.gap, q.maximum_bound),
        Inequality("Eq. 20", "with 2 max_t E max_a TV", q.gap, q.bound(0.0, 2 * gamma * q.delta_within)),
        Inequality("Eq. 21", "as printed", q.model_term, gamma * q.delta),
        Inequality("Eq. 21", "with delta = max_t epsilon_m_t", q.model_term, gamma * q.greatest_error),
        Inequality("Eq. 21", "contrary: 2 delta <= max_t epsilon_m_t", 2 * q.delta, q.greatest_error),
    ]


def one_agent(start: list, real: list, models: list, reward: list, policy: list, data: list, gamma: float) -> Case:
    """A case of one agent, written out: `real` and `models` by observation, action and next observation."""
    task = Task(*(np.array(each, float) for each in (start, real, reward)))
    return Case(task, [np.array(models, float)], np.array(policy, float), np.array(data, float), gamma)


def counterexamples() -> dict[str, Case]:
    """A case for each inequality of the paper that does not always hold. One agent is enough for all of them."""
    keep = [[0.0, 1.0]]
    leak, leaky = 0.001, 0.02
    fall = [[[0.0, 1.0]] * 2]
    here, both = 1 - leak, [0.5, 0.5]
    return {
        # Good and bad observation. Action 1 falls to the bad one for good; pi never takes it, pi_D with 0.01.
        "Lemma 1": one_agent(
            [1, 0],
            [[[1, 0], [0, 1]], *fall],
            [[[1, 0], [0, 1]], *fall],
            [[1, -1], [-1, -1]],
            [[1, 0], [1, 0]],
            [[0.99, 0.01], [1, 0]],
            0.9,
        ),
        # Rewards are losses: the greatest is 0, and so is the bound.
        "Theorem 1 with R_max = max R": one_agent(
            [1, 0], [[[here, leak]], *[keep]], [[[1 - leaky, leaky]], *[keep]], [[0], [-1]], [[1], [1]], [[1], [1]], 0.9
        ),
        # The model falls to the bad observation sooner than the environment; rewards 1 and -1.
        "Eq. 20, signed rewards": one_agent(
            [1, 0], [[[here, leak]], *[keep]], [[[1 - leaky, leaky]], *[keep]], [[1], [-1]], [[1], [1]], [[1], [1]], 0.9
        ),
        # Two good observations, each as likely; in each the model errs for the action that pi takes there alone.
        "Eq. 19 and Eq. 20, rewards 0 and 1": one_agent(
            [0.5, 0.5, 0],
            [[[here / 2, here / 2, leak]] * 2, [[here / 2, here / 2, leak]] * 2, [[0, 0, 1]] * 2],
            [
                [[(1 - leaky) / 2, (1 - leaky) / 2, leaky], [here / 2, here / 2, leak]],
                [[here / 2, here / 2, leak], [(1 - leaky) / 2, (1 - leaky) / 2, leaky]],
                [[0, 0, 1]] * 2,
            ],
            [[1, 1], [1, 1], [0, 0]],
            [[1, 0], [0, 1], [1, 0]],
            [[1, 0], [0, 1], [1, 0]],
            0.9,
        ),
        # An error that is the same at every step: half and half in truth, 0.6 and 0.4 in the model.
        "Eq. 21": one_agent([0.5, 0.5], [[both], [both]], [[[0.6, 0.4]]] * 2, [[1], [0]], [[1], [1]], [[1], [1]], 0.9),
    }
