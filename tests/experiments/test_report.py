"""Reports: the table, the files, kept curves, runs of other methods, and two hundred runs."""

import json
import shutil
import time
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mag import cli
from mag.algorithms.registry import default_config
from mag.errors import UsageError
from mag.experiments import export, kept
from mag.experiments.analysis import Analysis
from mag.experiments.figures import deviations, learning_curves
from mag.experiments.jobs import Processes
from mag.experiments.model_errors import RolloutErrors, read_errors, write_errors
from mag.experiments.records import differences, load_records, mixed
from mag.experiments.report import add_others, keep, make_notes, of_runs, of_study, write_report
from mag.experiments.sweep import print_commands, sweep
from mag.experiments.table import read_other, to_table
from mag.options import to_json
from tests.experiments.support import STUDY, fake_program, write_study


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A study of two methods on two environments with two seeds, trained by the fake: folder and study."""
    folder = tmp_path_factory.mktemp("swept")
    study = write_study(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mag.experiments.jobs.PROGRAM", fake_program(folder))
        patch.setattr("mag.experiments.sweep.PAUSE", 0.02)
        assert sweep(study, folder / "runs", folder / "none", Processes(2)) == 0
    return folder, study


@pytest.fixture(scope="module")
def written(swept):
    """The study's report, and its folder."""
    folder, study = swept
    out = folder / "report"
    return write_report(of_study(study, folder / "runs", folder / "none"), out), out


def test_the_table_has_a_row_for_each_test_of_each_seed(swept):
    folder, _ = swept
    records, problems = load_records([folder / "runs"])
    table = to_table(records)
    assert problems == [] and len(table) == 2 * 2 * 2 * 6
    row = table[(table.env == "probe/relay") & (table.algo == "commnet") & (table.seed == 1) & (table.env_steps == 400)]
    # The fake's win rate is 400 / 500 * (1 + 1) / 4.
    assert row["eval/win_rate"].tolist() == [0.4] and row.curve.tolist() == ["CommNet"]
    assert set(table.panel) == {"probe/relay", "probe/two-step"}
    run = folder / "runs" / "probe_relay-commnet-debug-tuned-seed1"
    assert len(of_runs([run, run / ".." / run.name]).records) == 1  # a folder given twice
    assert len(of_runs([run, folder / "runs"]).records) == 8


def test_curves_are_named_by_what_differs(swept):
    folder, _ = swept
    records, _ = load_records([folder / "runs"])
    one, other = (records[0]._replace(algo="mag", options={"planner.horizon": horizon}) for horizon in (1, 3))
    assert set(to_table([one, other]).curve) == {"MAG, horizon 1", "MAG, horizon 3"}
    assert set(to_table([other]).curve) == {"MAG"}
    assert set(to_table([one, other], "planner.horizon", ("env",)).panel) == {"1", "3"}


def test_the_picture_of_model_errors_is_kept(swept, tmp_path):
    folder, study = swept
    errors = [RolloutErrors("probe/relay", algo, 0, {"true": [1.0, 2.0]}) for algo in ("mag", "mamba")]
    write_errors(tmp_path / "results" / study.name, errors)
    material = of_study(study, folder / "runs", tmp_path / "results")
    write_report(material, tmp_path / "out")
    place = keep(material, tmp_path / "out", tmp_path / "results")
    assert {path.name for path in place.iterdir()} > {"errors.json", "errors.png"}


def test_runs_that_cannot_be_measured_do_not_cost_the_others(swept, tmp_path, monkeypatch, capsys):
    folder, study = swept
    refused, interrupted = (f"probe_relay-{algo}-debug-tuned-seed1" for algo in ("commnet", "mamba"))
    faults = {refused: UsageError("commnet has no models"), interrupted: KeyboardInterrupt()}

    def rollout_errors(path, seed):
        if path.name in faults:
            raise faults[path.name]
        return {"true": [1.0]}

    monkeypatch.setattr("mag.reports.realism.rollout_errors", rollout_errors)
    words = ["--runs", str(folder / "runs"), "--results", str(tmp_path), "--out", str(tmp_path / "out"), "--errors"]
    with pytest.raises(SystemExit):
        cli.main(["report", str(study.path), *words])
    # Those measured before the interruption: the four of the first seed, and the second seed's two on two-step.
    assert len(read_errors(tmp_path / study.name)) == 6
    del faults[interrupted]
    cli.main(["report", str(study.path), *words])
    told = f"the models of {folder / 'runs' / refused}, seed 1, are not measured: commnet has no models\n"
    assert told in capsys.readouterr().err
    assert len(read_errors(tmp_path / study.name)) == 7


def test_variants_are_told_apart_by_their_names_from_folders_and_kept(swept, written, tmp_path):
    folder, _ = swept
    text = STUDY.replace(', "commnet"', "") + "[variants.usual]\n[variants.short]\nppo.gamma = 0.5\n"
    study = write_study(tmp_path, text, f"{swept[1].name}.toml")
    material = of_study(study, folder / "runs", tmp_path / "none")
    names = to_table(material.records, study.panels, study.curves).curve
    assert set(names) == {"MAMBA, usual"} and len(material.missing) == 4  # 2 environments x 2 seeds
    keep(material, written[1], tmp_path / "results")
    again = of_study(study, tmp_path / "nowhere", tmp_path / "results")
    assert to_table(again.records, study.panels, study.curves).curve.tolist() == names.tolist()


def test_every_file_of_a_report(written):
    report, out = written
    # Seeds 0 and 1 end with 0.25 * (0.6, 0.8, 1) and 0.5 * (0.6, 0.8, 1): last three tests' means 0.2 and 0.4.
    assert "| probe/relay | MAMBA | 2 | 0.30 | 0.14 | 0.30 (0.20 to 0.40) | 0.20 0.40 |" in report.table
    main = pd.read_csv(out / "main.csv")
    assert main.to_dict("records")[0] == {"env": "probe/two-step", "MAMBA": "0.30 ± 0.14", "CommNet": "0.30 ± 0.14"}
    assert (out / "main.tex").read_text().count(r"0.30 $\pm$ 0.14") == 4
    final = pd.read_csv(out / "final.csv")
    assert final["mean"].tolist() == pytest.approx([0.3] * 4)
    area = pd.read_csv(out / "area.csv")
    # The area under a line from 0 to 0.25 or 0.5: half of that, mean over the seeds.
    assert area["mean"].tolist() == pytest.approx([(0.125 + 0.25) / 2] * 4)
    pairs = pd.read_csv(out / "improvement.csv")
    assert pairs["P(first > second)"].tolist() == [0.5] and pairs.difference.tolist() == [0.0]
    on_each = pd.read_csv(out / "improvement_on_each.csv")
    assert on_each.env.tolist() == ["probe/two-step", "probe/relay"]
    assert on_each["P(first > second)"].tolist() == [0.5, 0.5] and on_each["difference low"].lt(0).all()
    for name in ("curves", "curves_iqm", "training", "efficiency", "profile", "improvement"):
        assert np.asarray(Image.open(out / f"{name}.png").convert("L")).std() > 5  # something is drawn
        assert ElementTree.parse(out / f"{name}.svg").getroot().tag.endswith("svg")
    assert (out / "final.tex").read_text().count(r"\\") == 5
    assert len(pd.read_csv(out / "curves.csv")) == 48


def test_the_page_needs_nothing_else(written):
    text = (written[1] / "index.html").read_text()
    assert text.count("<svg") == 6 and "prefers-color-scheme: dark" in text
    # All of a picture's text has the page's colour, none matplotlib's black.
    assert "share of runs above τ" in text and "<text>" not in text
    outside = [word for word in ("<script", "<link", "<img", "src=", "@import") if word in text]
    assert not outside
    ids = [part.split('"')[0] for part in text.split('id="')[1:]]
    assert len(ids) == len(set(ids))  # pictures do not clip each other


def test_marl_eval_json(written):
    values = json.loads((written[1] / "marl_eval.json").read_text())
    run = values["probe"]["two-step"]["MAMBA"]["seed_1"]
    assert run["step_2"] == {"step_count": 200, "win_rate": [0.2], "return": [4.0]}
    # Of the last three tests, 0.3, 0.4 and 0.5; returns are twenty times that.
    assert run["absolute_metrics"] == {"win_rate": [pytest.approx(0.4)], "return": [pytest.approx(8.0)]}
    assert set(values["probe"]["relay"]) == {"MAMBA", "CommNet"}


def test_kept_curves_come_back_as_they_were_and_are_not_made_again(swept, written, tmp_path):
    folder, study = swept
    material = of_study(study, folder / "runs", folder / "none")
    place = keep(material, written[1], tmp_path / "results")
    assert {path.name for path in place.iterdir()} == {"curves.json", "figure.png", "study.toml", "table.md"}
    assert set(kept.kept_cells(study, tmp_path / "results")) == {cell.name for cell in study.cells}
    again = of_study(study, tmp_path / "nowhere", tmp_path / "results")
    first, second = (to_table(each.records).drop(columns="run") for each in (material, again))
    assert first.equals(second)


def test_kept_curves_stay_when_the_study_asks_for_others(swept, written, tmp_path):
    folder, study = swept
    place = keep(of_study(study, folder / "runs", folder / "none"), written[1], tmp_path)
    before = {(each.env, each.algo, each.seed): each.curve for each in kept.kept_records(place)}
    # One method less, and more steps on one environment: of eight curves two are of the study.
    text = STUDY.replace(', "commnet"', "").replace("steps = 500", 'steps = {default = 500, "probe/relay" = 501}')
    other = write_study(tmp_path, text, f"{study.name}.toml")
    material = of_study(other, tmp_path / "nowhere", tmp_path)
    assert len(material.records) == 2
    keep(material, written[1], tmp_path)
    after = {(each.env, each.algo, each.seed): each.curve for each in kept.kept_records(place)}
    assert len(after) == 8 and after == before
    # A curve that is made anew takes the place of the older one.
    shorter = [
        each._replace(curve={name: column[:3] for name, column in each.curve.items()}) for each in material.records
    ]
    keep(material._replace(records=shorter), written[1], tmp_path)
    assert sorted(len(each.curve["env_steps"]) for each in kept.kept_records(place)) == [3, 3] + [6] * 6
    # A run of fewer steps does not, unless it was trained with other options.
    fewer = [each._replace(steps=400, curve={"env_steps": [0], "eval/win_rate": [0.0]}) for each in shorter]
    keep(material._replace(records=fewer), written[1], tmp_path)
    assert sorted(len(each.curve["env_steps"]) for each in kept.kept_records(place)) == [3, 3] + [6] * 6
    for each in fewer:
        each.about["config"] = {**each.about["config"], "collect": {"steps": 7}}
    keep(material._replace(records=fewer), written[1], tmp_path)
    assert sorted(len(each.curve["env_steps"]) for each in kept.kept_records(place)) == [1, 1] + [6] * 6


def test_a_kept_curve_that_is_too_short_or_of_other_options_does_not_count(swept, tmp_path):
    folder, study = swept
    material = of_study(study, folder / "runs", folder / "none")
    kept.write_records(tmp_path / "results" / study.name, material.records)
    longer = write_study(tmp_path, STUDY.replace("steps = 500", 'steps = {default = 500, "probe/relay" = 501}'))
    assert len(kept.kept_cells(longer, tmp_path / "results")) == 4
    other = write_study(tmp_path, STUDY + "[method_options.mamba]\nppo.gamma = 0.5\n")
    assert len(kept.kept_cells(other, tmp_path / "results")) == 4


def test_an_option_that_a_run_lacks_counts_as_published():
    now = {"algo": "mamba", "collect": {"steps": 32, "nearest_first": True}}
    older = {"algo": "mamba", "collect": {"steps": 32}}
    assert differences(older, now) == ["collect.nearest_first False and True"]
    assert differences(now, older) == ["collect.nearest_first True and False"]
    assert differences(older, {**older, "collect": {"steps": 32, "nearest_first": False}}) == []
    # Also one that only the run's own planner has.
    elite = {"algo": "mag", "planner": {"kind": "elite"}}
    assert differences(elite, {**elite, "planner": {"kind": "elite", "num_rounds": 3}}) == [
        "planner.num_rounds 2 and 3"
    ]


def test_how_processes_play_makes_no_other_experiment(swept, tmp_path):
    folder, study = swept
    for seed, memory, overlap in ((0, 8.0, False), (1, 12.0, False), (2, 8.0, True)):
        run = shutil.copytree(folder / "runs" / study.cells[0].name, tmp_path / str(seed))
        about = json.loads((run / "config.json").read_text())
        about["config"]["host"] |= {"memory": memory, "overlap": overlap}
        (run / "config.json").write_text(json.dumps(about))
    records = load_records([tmp_path]).records
    assert [each.options for each in records] == [{}, {}, {"host.overlap": True}] and mixed(records) == []
    text = STUDY + "[method_options.mamba]\nhost.memory = 12\n"
    cells = (write_study(tmp_path, each).cells[0] for each in (STUDY, text))
    assert len({kept.cell_identity(cell) for cell in cells}) == 1


def test_kept_curves_of_other_options_than_now_are_named(swept, tmp_path, capsys):
    folder, study = swept
    records = of_study(study, folder / "runs", folder / "none").records
    assert mixed(records) == [] and kept.outdated(study, kept.kept_cells(study, tmp_path)) == []
    config = records[0].about["config"]
    older = {**config, "collect": {**config["collect"], "steps": 99}}
    del older["collect"]["nearest_first"]  # an option added since, which the study leaves as it is by default
    changed = [records[0]._replace(about={**records[0].about, "config": older}), *records[1:]]
    steps = config["collect"]["steps"]
    said = f"{changed[0].algo} on {changed[0].env}: seeds 0 and 1 were trained with different options"
    assert mixed(changed) == [f"{said} (collect.steps 99 and {steps})"]
    place = kept.write_records(tmp_path / study.name, changed)
    print_commands(study, tmp_path / "runs", tmp_path, seeds_together=False)
    told = capsys.readouterr().err
    assert told.startswith("mag: 1 kept curve was trained with other options than the study has now")
    assert f"({study.cells[0].name}, kept and now: collect.steps 99 and {steps})" in told
    assert told.endswith(f"to make such curves again, move {place} away\n")


@pytest.mark.parametrize("text", ["", "{", '{"schema": 2}', '{"schema": 1, "runs": [{}]}'])
def test_a_damaged_file_of_kept_curves_is_named(tmp_path, text):
    (tmp_path / "curves.json").write_text(text)
    with pytest.raises(UsageError, match=r"curves\.json does not hold kept curves"):
        kept.kept_records(tmp_path)


def test_runs_of_another_method_are_laid_beside(swept, tmp_path):
    folder, study = swept
    path = tmp_path / "qmix.csv"
    path.write_text("env_steps,seed,win_rate,env\n0,0,0,probe/relay\n500,0,1,probe/relay\n")
    material = add_others(of_study(study, folder / "runs", folder / "none"), {"QMIX": path})
    table = to_table(material.records, material.panels, material.curves)
    assert Analysis(table, "eval/win_rate").scores["area"]["QMIX"]["probe/relay"].tolist() == [0.5]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,b\n1,2\n", "has no column env_steps"),
        ("env_steps,seed,win_rate,env\n0,0,0,x\n5,0,often,x\n", "line 3: env_steps, seed and win_rate must be numbers"),
        ("env_steps,seed,win_rate\n0,0,0\n", "has no column env, which tells the 2 environments apart"),
        ("", "cannot be read as CSV"),
    ],
)
def test_a_wrong_csv_is_told(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_other("A", tmp_path / "a.csv", ["x", "y"])


def test_another_methods_name_and_environments_must_be_its_own(swept, tmp_path):
    folder, study = swept
    material = of_study(study, folder / "runs", folder / "none")
    path = tmp_path / "a.csv"
    path.write_text("env_steps,seed,win_rate,env\n0,0,0,relay\n500,0,1,relay\n")
    with pytest.raises(UsageError, match="has the environment relay, and the runs have probe/relay, probe/two-step"):
        add_others(material, {"QMIX": path})
    with pytest.raises(UsageError, match=r"mamba, in .*a\.csv, is a method of the runs themselves"):
        add_others(material, {"mamba": path})
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", str(folder / "runs"), "--csv", f"A={path},A={path}"])
    assert ended.value.code == 2


def test_runs_with_other_planners_are_other_curves(swept, tmp_path):
    folder, study = swept
    cell = next(cell for cell in study.cells if cell.config.algo == "mamba")
    for kind in ("shooting", "elite"):
        run = shutil.copytree(folder / "runs" / cell.name, tmp_path / kind)
        values = json.loads((run / "config.json").read_text())
        config = default_config("mag", cell.config.env, "debug", "tuned", planner=kind)
        (run / "config.json").write_text(json.dumps({**values, "config": to_json(config)}))
    assert set(to_table(load_records([tmp_path])[0]).curve) == {"MAG", "MAG, kind elite"}


def test_a_win_rate_is_reached_that_only_rounding_misses(swept):
    folder, _ = swept
    table = to_table([each for each in load_records([folder / "runs"])[0] if each.algo == "mamba"])
    # (0.6 + 0.8 + 0.4) / 3 is 0.5999999999999999 as a running mean.
    table["eval/win_rate"] = table.env_steps.map({0: 0.0, 100: 0.1, 200: 0.3, 300: 0.6, 400: 0.8, 500: 0.4})
    reached = Analysis(table, "eval/win_rate").reach_table()
    assert reached[reached["win rate"] == 0.6]["environment steps"].tolist() == [500, 500]


def test_a_second_report_leaves_nothing_of_the_first(swept, tmp_path):
    folder, study = swept
    material = of_study(study, folder / "runs", folder / "none")
    write_report(material, tmp_path)
    assert (tmp_path / "reach.csv").exists() and (tmp_path / "reach.tex").exists()
    write_report(material, tmp_path, "eval/return")
    assert not (tmp_path / "reach.csv").exists() and not (tmp_path / "reach.tex").exists()


def test_kept_runs_of_a_grid_are_counted_one_by_one(swept, tmp_path):
    folder, study = swept
    material = of_study(study, folder / "runs", folder / "none")
    mamba = [each for each in material.records if (each.algo, each.env) == ("mamba", "probe/relay")]
    records = [each._replace(origin="kept", options={"ppo.gamma": gamma}) for each in mamba for gamma in (0.5, 0.9)]
    write_report(material._replace(records=records, curves=None), tmp_path)
    assert "4 runs: 1 method on 1 environment." in (tmp_path / "index.html").read_text()


def test_runs_are_compared_up_to_what_every_run_has_reached(swept):
    folder, _ = swept
    records, _ = load_records([folder / "runs"])
    table = to_table(records)
    short = table[~((table.seed == 0) & (table.algo == "mamba") & (table.env_steps > 300))]
    analysis = Analysis(short, "eval/win_rate")
    assert analysis.budgets == {"probe/relay": 300, "probe/two-step": 300}
    # Seed 1 of CommNet at 100, 200, 300 of 500: 0.5 * 0.4.
    assert analysis.scores["final"]["CommNet"]["probe/relay"].tolist() == pytest.approx([0.1, 0.2])
    # A longer run's test just before the budget is its last one that counts.
    early = short.assign(env_steps=short.env_steps.where(short.algo != "commnet", short.env_steps - 1))
    scores = Analysis(early, "eval/win_rate").scores["final"]
    assert scores["CommNet"]["probe/relay"].tolist() == pytest.approx([0.1, 0.2])


def test_a_run_that_has_not_learned_yet_does_not_shorten_the_comparison(swept, tmp_path):
    folder, study = swept
    run = shutil.copytree(folder / "runs" / study.cells[0].name, tmp_path / "fresh")
    (run / "metrics.jsonl").write_text((run / "metrics.jsonl").read_text().partition("\n")[0] + "\n")
    report = write_report(of_runs([folder / "runs", run]), tmp_path / "out")
    assert report.notes == [
        f"{run}, seed 0: left out, as its only test came before the first step",
        "some curves have 2 seeds: bootstrap intervals of so few are too narrow",
        "environment steps compared, which every run has reached: 500",
    ]
    with pytest.raises(UsageError, match=r"there is no curve to report; train first"):
        write_report(of_runs([run]), tmp_path / "alone")


def test_numbers_of_seeds_that_differ_are_a_range(swept, tmp_path):
    folder, _ = swept
    records = [
        each
        for each in load_records([folder / "runs"]).records
        if (each.env, each.algo, each.seed) != ("probe/relay", "mamba", 1)
    ]
    table = Analysis(to_table(records), "eval/win_rate").overall_table("final").set_index("curve")
    assert table.seeds.to_dict() == {"MAMBA": "1 to 2", "CommNet": "2"}
    assert table["mean low"].isna().to_dict() == {"MAMBA": True, "CommNet": False}


def test_when_a_win_rate_is_reached(swept):
    folder, _ = swept
    table = to_table(load_records([folder / "runs"])[0])
    table["time/elapsed"] = table.env_steps * 0.6
    # Seed 0 rises to 0.9 in steps of 0.18, seed 1 to 0.45: the mean of three tests is the one before the last.
    table["eval/win_rate"] = table.env_steps / 500 * (0.9 - 0.45 * table.seed)
    reached = Analysis(table, "eval/win_rate").reach_table()
    relay = reached[(reached.env == "probe/relay") & (reached.curve == "MAMBA")]
    assert relay["win rate"].tolist() == [0.3, 0.6] and relay["reached by"].tolist() == ["2 of 2", "1 of 2"]
    # 0.3: seed 0 with tests at 100, 200, 300 (mean 0.36), seed 1 with those at 300, 400, 500 (mean 0.36).
    assert relay["environment steps"].iloc[0] == (300 + 500) / 2 and np.isnan(relay["environment steps"].iloc[1])
    assert relay["minutes"].iloc[0] == pytest.approx(4.0)
    # Where some run has only come to 400, later tests do not count.
    short = table[(table.env_steps <= 400) | (table.algo != "commnet")]
    reached = Analysis(short, "eval/win_rate").reach_table()
    assert reached[(reached.curve == "MAMBA")]["reached by"].tolist() == ["1 of 2"] * 2  # 0.3 on each
    table["eval/win_rate"] = 0.0
    assert Analysis(table, "eval/win_rate").reach_table().empty


def test_runs_with_other_options_are_left_out_of_a_study(swept, tmp_path):
    folder, study = swept
    runs = shutil.copytree(folder / "runs", tmp_path / "runs")
    name = study.cells[0].name
    path = runs / name / "config.json"
    values = json.loads(path.read_text())
    values["config"]["collect"]["steps"] += 1
    path.write_text(json.dumps(values))
    material = of_study(study, runs, tmp_path / "none")
    assert len(material.records) == len(study.cells) - 1 and material.missing == [f"{name} (no curve)"]
    steps = study.cells[0].config.collect.steps
    assert material.problems == [
        f"{runs / name}, seed 0: left out, trained with other options than the study has now "
        f"(collect.steps {steps + 1} and {steps})"
    ]


def test_the_commits_of_the_runs_are_told(swept):
    folder, _ = swept
    records = [each for each in load_records([folder / "runs"])[0] if each.env == "probe/relay"]
    assert Analysis(to_table(records), "eval/win_rate").commit_table().empty  # none is known
    first = next(each for each in records if each.algo == "mamba")
    for record in records:
        revision = "1" * 40 if record is first else "0" * 40 + "+changes"
        record.about["surroundings"] = {**record.about["surroundings"], "revision": revision}
    analysis = Analysis(to_table(records), "eval/win_rate")
    notes = make_notes(of_runs([folder / "runs"])._replace(records=records), analysis)
    assert notes[0] == "runs of several commits of the program are compared: probe/relay 0000000+changes, 1111111"
    told = analysis.commit_table().set_index("curve")["commit (runs)"]
    assert told["MAMBA"] == "0000000+changes (1), 1111111 (1)" and told["CommNet"] == "0000000+changes (2)"
    first.about["surroundings"] = None
    told = Analysis(to_table(records), "eval/win_rate").commit_table().set_index("curve")["commit (runs)"]
    assert told["MAMBA"] == "unknown (1), 0000000+changes (1)"


def test_bands_of_win_rates_end_at_0_and_1(swept):
    folder, _ = swept
    table = to_table(load_records([folder / "runs"])[0])
    # Two seeds at 0 and 1: 0.5 with a standard deviation of 0.71, which would reach from -0.21 to 1.21.
    table["eval/win_rate"] = table.seed.astype(float)
    figure = learning_curves(Analysis(table, "eval/win_rate"), "std")
    heights = [band.get_paths()[0].vertices[:, 1] for axes in figure.axes for band in axes.collections]
    assert [(low.min(), low.max()) for low in heights] == [(0, 1)] * 4
    assert deviations("eval/win_rate").endswith("clipped to [0, 1]")


def test_the_command_line(swept, tmp_path, capsys):
    folder, _ = swept
    words = ["report", str(folder / "runs"), "--out", str(tmp_path), "--metric", "eval/return"]
    cli.main(words)
    assert "| probe/relay | CommNet | 2 | 6.00 |" in capsys.readouterr().out
    assert (tmp_path / "index.html").is_file()


@pytest.mark.parametrize(
    "words, message",
    [
        (["nowhere"], "nowhere is not a folder"),
        (["{runs}", "--metric", "eval/speed"], "no run has the metric eval/speed; allowed are eval/win_rate"),
        (["{study}", "{runs}"], "is a study file: name it alone"),
        (["{runs}", "--keep"], "--keep is for a study; name its file"),
        (["{runs}", "--runs", "{runs}"], "--runs is for a study; name its file"),
        (["{runs}", "--results", "kept"], "--results is for a study; name its file"),
        (["{runs}", "--csv", "QMIX"], "--csv QMIX must be NAME=FILE"),
        ([], "STUDY.toml|RUN... is missing"),
    ],
)
def test_wrong_words_are_told(swept, capsys, words, message):
    folder, study = swept
    with pytest.raises(SystemExit) as exit_:
        cli.main(["report", *(word.format(runs=folder / "runs", study=study.path) for word in words)])
    assert exit_.value.code == 2 and message in capsys.readouterr().err


def test_a_report_is_not_written_among_kept_curves(swept, tmp_path, capsys):
    folder, study = swept
    out = tmp_path / study.name
    words = [str(study.path), "--runs", str(folder / "runs"), "--results", str(tmp_path), "--keep"]
    for sources in (words, [str(folder / "runs")]):  # before there are kept curves, and then
        with pytest.raises(SystemExit) as exit_:
            cli.main(["report", *sources, "--out", str(out)])
        told = f"mag: --out is {out}, a folder for kept curves; name another, such as {out / 'report'}\n"
        assert exit_.value.code == 2 and capsys.readouterr().err == told
        cli.main(["report", *words, "--out", str(out / "report")])
        capsys.readouterr()
    assert {path.name for path in out.iterdir()} == {"curves.json", "figure.png", "report", "study.toml", "table.md"}


@pytest.mark.slow
def test_a_report_of_two_hundred_runs_takes_less_than_half_a_minute(swept, tmp_path):
    folder, study = swept
    source = folder / "runs" / study.cells[0].name
    about = json.loads((source / "config.json").read_text())
    rows = [json.loads(line) for line in (source / "metrics.jsonl").read_text().splitlines()]
    losses = {f"models/loss{index}": 0.123456789 for index in range(20)}
    lines = [{**row, "iteration": index} for row in rows for index in range(3)] + [
        {"env_steps": 500, "seed": 0, "iteration": index, **losses} for index in range(300)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    for number in range(200):
        run = tmp_path / "runs" / f"run{number}"
        run.mkdir(parents=True)
        (run / "config.json").write_text(json.dumps({**about, "config": {**about["config"], "seed": number}}))
        (run / "metrics.jsonl").write_text(text.replace('"seed": 0', f'"seed": {number}'))
    begin = time.process_time()
    material = of_runs([tmp_path / "runs"])
    write_report(material, tmp_path / "report")
    assert len(material.records) == 200 and time.process_time() - begin < 30


@pytest.mark.parametrize(
    ("value", "text"), [(0.125, "0.12"), (0.0049, "0.0049"), (-3e-17, "0.00"), (1234.5, "1234"), (np.nan, ""), (7, "7")]
)
def test_numbers_are_as_long_as_their_size_asks_for(value, text):
    assert export.number(value) == text
