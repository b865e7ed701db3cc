"""Theorem 1 and Appendix A on tabular tasks: the exact value of every quantity, and each inequality of the proof.

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
"""Greatest number of steps over which maxima over time are taken; sums over time include all steps."""
SLACK = 1e-9
"""Rounding error of float64 that is tolerated, relative to the larger side."""


class Case(NamedTuple):
    """A task with the local models and policies that the theorem compares."""

    task: Task
    models: list[Float[np.ndarray, "obs actions own"]]
    """Local models, one for each agent."""
    policy: Policy
    data_policy: Policy
    """pi_D, which collected the data."""
    gamma: float


class Quantities(NamedTuple):
    """The quantities in Theorem 1 and its proof."""

    r_max: float
    """Largest reward, as the paper defines R_max."""
    r_abs: float
    """Largest absolute reward, which the proof needs."""
    gamma: float
    j_env: float
    """J(pi): return of pi in the environment."""
    j_model: float
    """J^P_hat(pi): return of pi in the model."""
    j_data: float
    """J(pi_D): return of pi_D in the environment."""
    epsilon_policy: float
    """epsilon_pi: greatest total variation between pi and pi_D over joint observations."""
    epsilon_model: Float[np.ndarray, " steps"]
    """epsilon_m_t for t = 1, 2, ...: E_{t-1} max_a sqrt(2 KL)."""
    discounted: float
    """The infinite sum over t = 1, 2, ... of gamma^t epsilon_m_t."""
    delta: float
    """delta of Appendix A.2: max over a and t of E_{t-1} of the total variation."""
    delta_within: float
    """delta with the maximum over actions inside the expectation, as in Eq. 9: max_t E_{t-1} max_a."""
    drift: Float[np.ndarray, " steps"]
    """Total variation between the joint observation in the model with pi and in the environment with pi_D, at
    t = 0, 1, ..."""

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
        """The bound by Lemma 1 between environment and model with the same policy, which needs no policy term."""
        return self.bound(0.0, self.model_term)

    @property
    def maximum_bound(self) -> float:
        """The bound with every epsilon_m_t replaced by the greatest."""
        return self.bound(2 * self.epsilon_policy, self.gamma * self.greatest_error)

    @property
    def maximum_bound_as_printed(self) -> float:
        """Eq. 20 with delta as A.2 defines it."""
        return self.bound(2 * self.epsilon_policy, self.gamma * self.delta)


def quantities(case: Case) -> Quantities:
    """All quantities of a case."""
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
    """An inequality `left <= right`, from the paper or as a correction."""

    where: str
    says: str
    left: float
    right: float

    @property
    def holds(self) -> bool:
        return self.left <= self.right + SLACK * max(1.0, abs(self.left), abs(self.right))

    @property
    def ratio(self) -> float:
        """Left over right: above 1 where the inequality is violated; NaN where it holds and the right is 0."""
        return self.left / self.right if self.right > 0 else (np.nan if self.holds else np.inf)


def inequalities(q: Quantities) -> list[Inequality]:
    """Every inequality, as printed and as corrected, on one case."""
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
    """A case of one agent from explicit tables; axes of `real` and `models`: observation, action, next observation."""
    task = Task(*(np.array(each, float) for each in (start, real, reward)))
    return Case(task, [np.array(models, float)], np.array(policy, float), np.array(data, float), gamma)


def counterexamples() -> dict[str, Case]:
    """A case for each inequality of the paper that does not always hold. One agent is enough for all of them."""
    keep = [[0.0, 1.0]]
    leak, leaky = 0.001, 0.02
    fall = [[[0.0, 1.0]] * 2]
    here, both = 1 - leak, [0.5, 0.5]
    return {
        # A good and a bad observation. Action 1 leads to the bad one for ever; pi never takes it, pi_D with 0.01.
        "Lemma 1": one_agent(
            [1, 0],
            [[[1, 0], [0, 1]], *fall],
            [[[1, 0], [0, 1]], *fall],
            [[1, -1], [-1, -1]],
            [[1, 0], [1, 0]],
            [[0.99, 0.01], [1, 0]],
            0.9,
        ),
        # No reward is positive: R_max is 0, and so is the bound.
        "Theorem 1 with R_max = max R": one_agent(
            [1, 0], [[[here, leak]], *[keep]], [[[1 - leaky, leaky]], *[keep]], [[0], [-1]], [[1], [1]], [[1], [1]], 0.9
        ),
        # The model reaches the bad observation sooner than the environment does; rewards 1 and -1.
        "Eq. 20, signed rewards": one_agent(
            [1, 0], [[[here, leak]], *[keep]], [[[1 - leaky, leaky]], *[keep]], [[1], [-1]], [[1], [1]], [[1], [1]], 0.9
        ),
        # Two good observations, equally likely; in each the model errs only for the action that pi takes.
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
        # The same error at every step: probabilities 0.5 and 0.5 in the task, 0.6 and 0.4 in the model.
        "Eq. 21": one_agent([0.5, 0.5], [[both], [both]], [[[0.6, 0.4]]] * 2, [[1], [0]], [[1], [1]], [[1], [1]], 0.9),
    }
