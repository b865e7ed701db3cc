"""Theorem 1 on tabular tasks: quantities worked out by hand, and which inequalities hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mag import cli
from mag.experiments import bound, bound_report, tabular
from mag.experiments.bound import Case, counterexamples, inequalities, quantities
from mag.experiments.tabular import Sizes, Task

ALWAYS = {
    "as printed, with R_max = max |R|",
    "without its policy term",
    "with twice the policy term",
    "the same with twice the policy term",
    "drift at every step",
    "with delta = max_t epsilon_m_t",
    "with 2 max_t E max_a TV",
    "contrary: 2 delta <= max_t epsilon_m_t",
}
"""Inequalities that are proved."""


def chain_case(gamma=0.5):
    """One agent, observations 0 and 1, one action; starts at 0. In truth 0 stays with 0.5, in the model with 0.8; 1 is
    never left. Reward 1 at 0, 0 at 1."""
    real = np.array([[[0.5, 0.5]], [[0, 1]]])
    model = np.array([[[0.8, 0.2]], [[0, 1]]])
    one = np.ones((2, 1))
    return Case(Task(np.array([1.0, 0]), real, np.array([[1.0], [0]])), [model], one, one, gamma)


def test_returns_and_errors_of_a_chain_of_two():
    q = quantities(chain_case())
    # J = sum (0.5 * 0.5)^t = 4 / 3, J^ = sum (0.5 * 0.8)^t = 5 / 3.
    assert q.j_env == pytest.approx(4 / 3) and q.j_model == pytest.approx(5 / 3)
    # At 0: KL = 0.8 ln 1.6 + 0.2 ln 0.4 = 0.37600 - 0.18326 = 0.19275, sqrt(2 KL) = 0.62089; at 1 there is no error.
    # In the model 0 is held at t - 1 with 0.8^(t - 1).
    assert q.epsilon_model[:3] == pytest.approx(0.62089 * np.array([1, 0.8, 0.64]), rel=1e-4)
    # sum_{t >= 1} 0.5^t 0.8^(t - 1) = 0.5 / (1 - 0.4) = 5 / 6.
    assert q.discounted == pytest.approx(0.62089 * 5 / 6, rel=1e-4)
    # Total variation at 0: 0.3, all of it at t = 1. Drift: |0.8^t - 0.5^t|.
    assert q.delta == pytest.approx(0.3) and q.drift[:3] == pytest.approx([0, 0.3, 0.64 - 0.25])
    # 1 / 0.25 * 0.5 * 0.51741 and, with the greatest error, 1 / 0.25 * 0.5 * 0.62089.
    assert q.theorem == pytest.approx(1.03482, rel=1e-4) and q.maximum_bound == pytest.approx(1.24178, rel=1e-4)


def test_divergences_of_near_and_of_impossible_things():
    # (0.6, 0.4) and (0.5, 0.5): 0.6 ln 1.2 + 0.4 ln 0.8 = 0.020136.
    p, q = np.array([0.6, 0.4]), np.array([0.5, 0.5])
    assert tabular.divergence(p, q) == pytest.approx(0.0201355, abs=1e-7)
    # (0.5 + d, 0.5 - d) and (0.5, 0.5): 2 d^2, far below float64's last bit of 0.5 ln 0.5.
    near = np.array([0.5 + 1e-9, 0.5 - 1e-9])
    assert tabular.divergence(near, q) == pytest.approx(2e-18, rel=1e-6)
    assert tabular.divergence(np.array([1.0, 0]), q) == pytest.approx(np.log(2))
    assert tabular.divergence(q, np.array([1.0, 0])) == np.inf


def test_the_product_of_local_models_and_its_marginals():
    # Agent 1 sees 0 with 0.9, agent 2 with 0.3: joint observations o_1 + 2 o_2.
    local = [np.array([[[0.9, 0.1]]]), np.array([[[0.3, 0.7]]])]
    joint = tabular.product(local)
    assert joint[0, 0] == pytest.approx([0.9 * 0.3, 0.1 * 0.3, 0.9 * 0.7, 0.1 * 0.7])
    for found, expected in zip(tabular.marginals(joint, Sizes(2, 2, 1)), local, strict=True):
        assert found == pytest.approx(expected)


def test_agents_act_on_their_own_observation():
    # Agent 1 repeats what it sees, agent 2 does the opposite: at o_1 = 1, o_2 = 0 (number 1) both take 1 (number 3).
    policies = [np.eye(2), np.eye(2)[::-1]]
    joint = tabular.independent(policies, Sizes(2, 2, 2))
    assert joint.argmax(axis=1).tolist() == [2, 3, 0, 1]


def test_three_agents_of_three_observations_keep_their_order():
    rng = np.random.default_rng(0)
    sizes = Sizes(3, 3, 2)
    local = [rng.dirichlet(np.ones(3), size=(27, 8)) for _ in range(3)]
    for found, expected in zip(tabular.marginals(tabular.product(local), sizes), local, strict=True):
        assert found == pytest.approx(expected)


def test_exact_models_have_no_error_and_no_gap():
    setting = bound_report.Setting(Sizes(2, 2, 2), 3, (0.0,), (10.0,), 0.1, 0.0)
    q = quantities(bound_report.make_case(setting, 0.0, 10.0))
    assert q.gap == pytest.approx(0, abs=1e-9) and q.greatest_error == pytest.approx(0, abs=1e-7)
    assert 0 < q.epsilon_policy < 0.2 and q.theorem == pytest.approx(q.r_max * 100 * 2 * q.epsilon_policy)


def test_returns_agree_with_simulated_episodes():
    """The exact return lies within four standard errors of the mean of 20 000 played episodes."""
    setting = bound_report.Setting(Sizes(2, 2, 2), 1, (0.1,), (4.0,), 0.1, 0.5)
    case = bound_report.make_case(setting, 0.1, 4.0)
    rng = np.random.default_rng(0)
    total = np.zeros(20_000)
    obs = rng.choice(4, size=20_000, p=case.task.start)
    for t in range(60):
        action = (rng.random((20_000, 1)) > case.policy[obs].cumsum(axis=1)).sum(axis=1).clip(max=3)
        total += case.gamma**t * case.task.reward[obs, action]
        obs = (rng.random((20_000, 1)) > case.task.dynamics[obs, action].cumsum(axis=1)).sum(axis=1).clip(max=3)
    error = total.std() / np.sqrt(20_000)
    assert total.mean() == pytest.approx(quantities(case).j_env, abs=4 * error)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_what_is_proved_holds_on_random_tasks(seed):
    (case,) = bound_report.random_cases(1, seed)
    for each in inequalities(quantities(case)):
        assert each.holds or each.says not in ALWAYS, each


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_rewards_without_losses_keep_lemma_1_as_printed(seed):
    (case,) = bound_report.random_cases(1, seed)
    case = case._replace(task=case.task._replace(reward=np.abs(case.task.reward)))
    for each in inequalities(quantities(case)):
        assert each.holds or each.where != "Lemma 1", each


VIOLATED = {
    "Lemma 1": ("Lemma 1", "as printed, for pi and pi_D in the environment"),
    "Theorem 1 with R_max = max R": ("Theorem 1", "as printed, with R_max = max R"),
    "Eq. 20, signed rewards": ("Eq. 20", "as printed"),
    "Eq. 19 and Eq. 20, rewards 0 and 1": ("Eq. 19", "drift at every step, delta as defined"),
    "Eq. 21": ("Eq. 21", "as printed"),
}


@pytest.mark.parametrize("name", VIOLATED)
def test_counterexamples_violate_what_they_are_for_and_nothing_that_is_proved(name):
    found = inequalities(quantities(counterexamples()[name]))
    assert VIOLATED[name] in [(each.where, each.says) for each in found if not each.holds]
    assert all(each.holds for each in found if each.says in ALWAYS)


def test_the_counterexample_of_lemma_1_by_hand():
    # pi_D falls with 0.01 at each step, and at once loses: reward 1 becomes -1 from there on. The gap is
    # 2 sum 0.9^t (1 - 0.99^(t + 1)) = 2 (10 - 0.99 / (1 - 0.891)) = 1.83486; the bound 100 * 0.01 = 1.
    q = quantities(counterexamples()["Lemma 1"])
    assert abs(q.j_env - q.j_data) == pytest.approx(1.83486, abs=1e-5) and q.epsilon_policy == pytest.approx(0.01)


def test_the_counterexample_of_a_2_by_hand():
    # KL of (0.6, 0.4) and (0.5, 0.5) is 0.6 ln 1.2 + 0.4 ln 0.8 = 0.020136, sqrt(2 KL) = 0.20068 at every step; the
    # total variation is 0.1. Eq. 21 wants 0.9 * 0.20068 <= 0.9 * 0.1.
    q = quantities(counterexamples()["Eq. 21"])
    assert q.model_term == pytest.approx(0.180609, abs=1e-6) and q.gamma * q.delta == pytest.approx(0.09)


def test_the_command_prints_tables_and_writes_a_picture(tmp_path, capsys):
    cli.main(["bound", "--errors", "0,0.5", "--horizons", "2,4", "--tasks", "3", "--out", str(tmp_path)])
    output = capsys.readouterr().out
    assert output == (tmp_path / "table.md").read_text()
    assert "## Which inequalities hold, of 3 random tasks" in output and "| 4 | 0.5 |" in output
    assert np.asarray(Image.open(tmp_path / "figure.png").convert("L")).std() > 5  # something is drawn


@pytest.mark.parametrize(
    "words, message",
    [
        (["--errors", "much"], "--errors much must be numbers separated by commas"),
        (["--errors", "1.5"], "--errors holds 1.5; an error is a share between 0 and 1"),
        (["--horizons", "1"], "--horizons holds 1.0; a horizon is 1 / (1 - gamma), above 1 and finite"),
        (["--horizons", "2,inf"], "--horizons holds inf; a horizon is 1 / (1 - gamma), above 1 and finite"),
        (["--agents", "7"], "make 2187 joint observations"),
        (["--shift", "2"], "--shift is 2.0; it must be at least 0 and at most 1"),
    ],
)
def test_wrong_words_are_told(capsys, words, message):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["bound", *words])
    assert exit_.value.code == 2 and message in capsys.readouterr().err


def test_greatest_errors_over_time_are_taken_until_nothing_changes():
    q = quantities(chain_case())
    assert len(q.epsilon_model) < bound.MOST_STEPS and q.epsilon_model[-1] < 1e-12
