"""Fig. 3: accumulated errors of models along rollouts, kept and compared."""

import numpy as np
import pytest

from mag.errors import UsageError
from mag.experiments import model_errors
from mag.experiments.model_errors import RolloutErrors, difference_table, read_errors, write_errors
from mag.experiments.records import Record
from mag.reports import realism


def run(algo, seed, learned, true=None):
    errors = {"learned": learned} | ({} if true is None else {"true": true})
    return RolloutErrors("smac_jax/2c_vs_64zg", algo, seed, errors)


MEASURED = [
    run("mamba", 0, [1.0, 2.0, 3.0]),
    run("mamba", 1, [1.0, 4.0, 3.0]),
    run("mag", 0, [2.0, 2.0, 2.0, 2.0]),
    run("mag", 1, [2.0, 2.0, 2.0]),
]


def test_accumulated_errors_of_mamba_minus_those_of_mag():
    table = difference_table(MEASURED)
    # MAMBA's accumulate to 1, 3, 6 and 1, 5, 8, mean 1, 4, 7; MAG's to 2, 4, 6. The resamples of two seeds are their
    # means or one of them twice: 7 - 6 = 1, between 0 and 2.
    assert table.difference.tolist() == [-1.0, 0.0, 1.0] and table.step.tolist() == [1, 2, 3]
    assert table.iloc[-1][["difference low", "difference high"]].tolist() == [0.0, 2.0]
    assert set(table.error) == {"learned"}


def test_errors_end_where_all_battles_are_over(tmp_path):
    over = [run("mamba", 0, [1.0, 2.0, None, None]), run("mamba", 1, [None]), run("mag", 0, [2.0, 2.0, 2.0])]
    write_errors(tmp_path, over)
    assert difference_table(read_errors(tmp_path)).difference.tolist() == [-1.0, -1.0]


def test_both_kinds_of_errors():
    measured = [run("mamba", 0, [1.0], [3.0]), run("mag", 0, [2.0], [1.0])]
    table = difference_table(measured)
    assert table.set_index("error").difference.to_dict() == {"learned": -1.0, "true": 2.0}
    assert np.isnan(table["difference low"]).all()
    assert len(model_errors.difference_figure(table, "a").axes) == 2


def test_maps_are_told_apart():
    other = [each._replace(env="smac_jax/2s3z", errors={"learned": [5.0]}) for each in MEASURED[:3:2]]
    table = difference_table([*MEASURED, *other])
    assert table.groupby("env").difference.apply(list).to_dict() == {
        "smac_jax/2c_vs_64zg": [-1.0, 0.0, 1.0],
        "smac_jax/2s3z": [0.0],
    }
    assert len(model_errors.difference_figure(table, "a").axes) == 2


def test_errors_come_back_as_they_were_kept(tmp_path):
    write_errors(tmp_path, MEASURED)
    assert read_errors(tmp_path) == MEASURED
    assert read_errors(tmp_path / "nowhere") == []
    write_errors(tmp_path, [run("mag", 1, [5.0]), run("mag", 2, [6.0])])  # those measured elsewhere stay
    assert read_errors(tmp_path) == [*MEASURED[:3], run("mag", 1, [5.0]), run("mag", 2, [6.0])]
    (tmp_path / "errors.json").write_text('[{"env": 1}]')
    with pytest.raises(UsageError, match=r"errors\.json does not hold model errors"):
        read_errors(tmp_path)


def test_a_run_is_measured_by_its_rollouts(tmp_path, monkeypatch):
    monkeypatch.setattr(realism, "rollout_errors", lambda path, seed: {"learned": [0.5], "true": [float(seed)]})
    about = {"surroundings": {"revision": "6c7b122" + "0" * 33}}
    trained = Record("probe/relay", "mag", {}, {}, 3, 100, {"env_steps": [100]}, about, str(tmp_path))
    found = model_errors.measure(trained)
    assert found == RolloutErrors("probe/relay", "mag", 3, {"learned": [0.5], "true": [3.0]}, "6c7b122")
