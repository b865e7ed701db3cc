"""The results of `mag diagnose`, computed by hand and on a small run."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag import envs
from mag.algorithms.contract import Imagination
from mag.algorithms.registry import default_config
from mag.errors import UsageError
from mag.reports.diagnose import compare, diagnose_run, enemy_of, format_result
from mag.reports.realism import rollout_errors
from mag.runs.train import train
from mag.types import Arrival
from tests.support.fake import fake_config
from tests.support.pages import ROOT

OBSERVED = 2
LABELS = {"algo": "mag", "env": "a/b", "seed": 0, "env_steps": 1, "sequences": 3, "observed": OBSERVED, "warnings": []}


def made(seen, reward, continues):
    """Three sequences of five steps and one agent, two steps observed, and the sequences as imagined."""
    first = np.zeros((3, 5), bool)
    first[0, 4] = first[1, 4] = True  # the last step belongs to the next episode
    obs = np.zeros((3, 5, 1, 2), np.float32)
    obs[:, :, 0, 0] = [[0, 1, 2, 6, 0], [0, 3, 4, 8, 0], [0, 5, 9, 0, 0]]
    real = Arrival(
        obs=obs,
        avail=np.ones((3, 5, 1, 3), bool),
        alive=np.ones((3, 5, 1), bool),
        previous_action=np.zeros((3, 5, 1), np.int32),
        reward=np.array([[0, 1, 1, 0, 9], [0, 1, 2, 4, 9], [0, 1, 3, 7, 9]], np.float32),
        continues=np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 1], [1, 1, 0, 0, 0]], np.float32),
        first=first,
        state=None,
    )
    guess = np.array(obs)
    guess[:, :, 0, 0] = seen
    zeros = np.zeros((3, 5), np.float32)
    return jax.tree.map(
        jnp.asarray,
        (real, Imagination(guess, np.array(reward, np.float32), np.array(continues, np.float32), zeros, zeros)),
    )


def test_accuracy_by_hand():
    found = compare(
        *made(
            seen=[[9, 2, 2, 5, 99], [9, 3, 5, 8, 99], [9, 5, 7, 99, 99]],
            reward=[[9, 9, 1, 1, 99], [9, 9, 2, 2, 99], [9, 9, 1, 99, 99]],
            continues=[[0, 0, 1, 0.9, 0], [0, 0, 1, 0.5, 0], [0, 0, 0.8, 0, 0]],
        ),
        OBSERVED,
    )
    posterior, one, two = found["by_steps_ahead"]
    # Observations 1, 3, 5 have squares 8 around their mean 3; 2, 4, 9 have 26 around 5; 6 and 8 have 2 around 7.
    assert posterior == {"ahead": 0, "obs_unexplained": pytest.approx(1 / 8)}
    assert one == pytest.approx(
        {"ahead": 1, "obs_unexplained": 5 / 26, "reward_unexplained": 4 / 2, "reward": 2, "reward_imagined": 4 / 3}
    )
    assert two == pytest.approx(
        {"ahead": 2, "obs_unexplained": 1 / 2, "reward_unexplained": 5 / 8, "reward": 2, "reward_imagined": 1.5}
    )
    assert (found["high_reward"], found["high_reward_imagined"]) == (4, 2)
    assert found["ends"] == pytest.approx(2 / 5)
    assert found["ends_imagined"] == pytest.approx((0.1 + 0.5 + 0.2) / 5)
    assert found["ends_imagined_there"] == pytest.approx((0.5 + 0.2) / 2)


def test_an_imagined_end_counts_once():
    # Drawn ends stay ends: the first sequence's comes one step ahead, so its second step, with 0 again, is not reached.
    # The second sequence's first step reaches the second with probability 0.8, where it ends with 0.5.
    drawn = [[1, 1, 0, 0, 0], [1, 1, 0.8, 0.5, 0], [1, 1, 1, 0, 0]]
    found = compare(*made(np.zeros((3, 5)), np.zeros((3, 5)), drawn), OBSERVED)
    assert found["ends_imagined"] == pytest.approx((1 + 0.2 + 0.8 * 0.5 + 0) / (1 + 1 + 0.8 + 1))
    # The real ends: the second sequence's second step, and the third's first, which imagination does not foresee.
    assert found["ends_imagined_there"] == pytest.approx((0.8 * 0.5 + 0) / (0.8 + 1))


def test_the_worst_features_are_named():
    real, imagined = made(np.zeros((3, 5)), np.zeros((3, 5)), np.ones((3, 5)))
    # One step ahead: errors of 1, 0 and 2 in the first feature (2, 4, 9 have squares 26), of 1, 1 and 4 in the second.
    guess = jnp.asarray(real.obs).at[:, 2, 0].add(jnp.array([[1, 1], [0, 1], [2, 4]]))
    found = compare(real, imagined._replace(obs=guess), OBSERVED)
    second, first = found["worst_features"]
    assert second == {"feature": 1, "share_of_error": pytest.approx(18 / 23), "unexplained": None}
    assert first == {"feature": 0, "share_of_error": pytest.approx(5 / 23), "unexplained": pytest.approx(5 / 26)}
    text = format_result({**LABELS, **found})
    assert "by feature: 1 (78%, unexplained -), 0 (22%, unexplained 0.192)\n  (-: the real values do not vary)" in text
    first["enemy"] = 2
    assert "0 (of enemy 2, 22%, unexplained 0.192)" in format_result({**LABELS, **found})
    assert compare(real, imagined._replace(obs=real.obs), OBSERVED)["worst_features"] == []


def test_a_feature_tells_of_an_enemy():
    spec = envs.spec("smac_jax/3s_vs_3z")  # 4 features of movement, then 6 of each of three enemies, then the allies
    assert [enemy_of(spec, feature) for feature in (3, 4, 9, 10, 21, 22)] == [None, 1, 1, 2, 3, None]
    assert enemy_of(envs.spec("probe/relay"), 0) is None


def test_the_last_line_leads_to_the_page_that_reads_the_numbers():
    real, imagined = made(np.zeros((3, 5)), np.zeros((3, 5)), np.ones((3, 5)))
    last = format_result({**LABELS, **compare(real, imagined, OBSERVED)}).splitlines()[-1]
    title, file = re.search(r'"(.*)" \((docs/.*)\)$', last).groups()
    assert (ROOT / file).read_text().splitlines()[0] == f"# {title}"


def test_what_does_not_vary_has_no_share_to_explain():
    real, imagined = made(np.zeros((3, 5)), np.zeros((3, 5)), np.ones((3, 5)))
    found = compare(real._replace(reward=jnp.full((3, 5), -0.1)), imagined, OBSERVED)
    assert [row["reward_unexplained"] for row in found["by_steps_ahead"][1:]] == [None, None]
    assert "    1         " in format_result({**LABELS, **found})


def test_nothing_to_compare_is_said():
    real, imagined = made(np.zeros((3, 5)), np.zeros((3, 5)), np.ones((3, 5)))
    with pytest.raises(UsageError, match="give more --batches"):
        compare(real._replace(first=jnp.ones((3, 5), bool)), imagined, OBSERVED)


def test_runs_without_models_are_refused(tmp_path):
    train(fake_config(), tmp_path)
    with pytest.raises(UsageError, match="has no models; give one of mag or mamba"):
        diagnose_run(tmp_path, 1)
    with pytest.raises(UsageError, match="cannot be compared with the simulator"):
        rollout_errors(tmp_path, 0)


@pytest.mark.slow
def test_a_run_is_compared_with_what_it_saw(tmp_path):
    train(dataclasses.replace(default_config("mamba", "probe/memory", "debug", "tuned"), num_seeds=2), tmp_path)
    found = diagnose_run(tmp_path, 2)
    assert json.loads(json.dumps(found)) == found
    assert found["sequences"] == 2 * 4
    assert [row["ahead"] for row in found["by_steps_ahead"]] == [0, 1]
    assert np.isfinite([row["obs_unexplained"] for row in found["by_steps_ahead"]]).all()
    assert "8 sequences of D_e, 5 steps seen" in format_result(found)
    second = diagnose_run(tmp_path, 2, seed=1)
    assert (found["seed"], second["seed"]) == (0, 1) and found["by_steps_ahead"] != second["by_steps_ahead"]
    with pytest.raises(UsageError, match=r"seed is 2; the run in .* has the seeds 0 to 1"):
        diagnose_run(tmp_path, 2, seed=2)
    with pytest.raises(UsageError, match=r"cannot be compared with the simulator: that takes .* of 8 steps or more"):
        diagnose_run(tmp_path, 2, simulator=True)
    with pytest.raises(UsageError, match="without a model reward to plan by; give one of mag"):
        diagnose_run(tmp_path, 2, planner={"planner.kind": "elite"})


@pytest.mark.slow
def test_a_run_is_planned_otherwise(tmp_path):
    # Two workers trained it; with each planner the same whole batches are drawn.
    train(dataclasses.replace(default_config("mag", "probe/memory", "debug", "tuned"), workers=2), tmp_path)
    others = (None, OTHER, {"planner.horizon": 2})
    own, other, same = (diagnose_run(tmp_path, 16, planner=planner) for planner in others)
    assert own["planner"]["kind"] == "shooting"
    assert own == same
    assert (other["planner"]["kind"], other["planner"]["num_rounds"]) == ("elite", 3)
    assert own["by_steps_ahead"][0] == other["by_steps_ahead"][0]
    assert own["by_steps_ahead"][1] != other["by_steps_ahead"][1]
    with pytest.raises(UsageError, match=r"--planner\.num-rounds belongs to --planner\.kind elite"):
        diagnose_run(tmp_path, 2, planner={"planner.num_rounds": 2})


OTHER = {"planner.kind": "elite", "planner.num_rounds": "3"}
