"""Study files: the runs that they define, and errors that name line and field."""

import pytest

from mag.errors import UsageError
from mag.experiments.study import as_command
from mag.experiments.study_file import StudyFile
from tests.experiments.support import STUDY, write_study


def test_one_seed_of_every_curve_comes_first(tmp_path):
    study = write_study(tmp_path)
    seeds = [cell.config.seed for cell in study.cells]
    # 2 environments x 2 methods, then the same with the next seed.
    assert seeds == [0, 0, 0, 0, 1, 1, 1, 1]
    assert study.cells[1].name == "probe_two-step-commnet-debug-tuned-seed0"


def test_a_cell_is_an_ordinary_command(tmp_path):
    text = STUDY + "[options]\nworkers = 1\n[method_options.mamba]\nppo.gae-lambda = 0.9\n"
    cell = write_study(tmp_path, text).cells[0]
    assert as_command(cell.command(tmp_path / "a run")) == (
        "mag train --env probe/two-step --algo mamba --size debug --recipe tuned --seed 0 --steps 500 --workers 1 "
        f"--ppo.gae-lambda 0.9 --run '{tmp_path / 'a run'}'"
    )
    assert cell.config.ppo.gae_lambda == 0.9


def test_the_grid_goes_to_the_methods_that_have_the_option(tmp_path):
    text = STUDY.replace('"commnet"', '"mag"') + "[grid]\nplanner.horizon = [1, 3]\nppo.gamma = [0.9]\n"
    study = write_study(tmp_path, text)
    first = [cell.name for cell in study.cells if cell.config.seed == 0 and cell.config.env == "probe/relay"]
    assert first == [
        "probe_relay-mamba-debug-tuned-ppo.gamma=0.9-seed0",
        "probe_relay-mag-debug-tuned-planner.horizon=1-ppo.gamma=0.9-seed0",
        "probe_relay-mag-debug-tuned-planner.horizon=3-ppo.gamma=0.9-seed0",
    ]
    assert study.curves == ("method", "planner.horizon", "ppo.gamma")


def test_a_grid_at_the_preset_shares_its_runs_with_studies_without_a_grid(tmp_path):
    text = STUDY.replace('"commnet"', '"mag"')
    plain = {cell.name for cell in write_study(tmp_path, text).cells}
    default = next(
        cell.config for cell in write_study(tmp_path, text).cells if cell.config.algo == "mag"
    ).planner.horizon
    study = write_study(tmp_path, text + f"[grid]\nplanner.horizon = [{default}, {default + 1}]\n")
    assert plain < {cell.name for cell in study.cells} and len(study.cells) == 12  # MAMBA 4, MAG 4 and 4


def test_the_names_of_curves_are_the_configurations_however_the_grid_spells_them(tmp_path):
    text = STUDY.replace('"commnet"', '"mag"') + "[grid]\nplanner.num-trajectories = [1, 3]\n"
    assert write_study(tmp_path, text).curves == ("method", "planner.num_trajectories")
    named = "panels = 'planner.num-trajectories'\ncurves = ['method', 'planner.num-trajectories']\n"
    study = write_study(tmp_path, text.replace("[grid]", named + "[grid]"))  # environments may share a curve
    assert (study.panels, study.curves) == ("planner.num_trajectories", ("method", "planner.num_trajectories"))


VARIANTS = """
[variants.best]
[variants.drawn]
planner.choice = "proportional"
planner.num-trajectories = 7
"""


def test_variants_are_named_choices_of_options(tmp_path):
    study = write_study(tmp_path, STUDY.replace('"commnet"', '"mag"') + VARIANTS)
    first = [cell for cell in study.cells if cell.config.seed == 0 and cell.config.env == "probe/relay"]
    assert [(cell.config.algo, cell.variant, cell.name) for cell in first] == [
        ("mamba", "", "probe_relay-mamba-debug-tuned-seed0"),
        ("mag", "best", "probe_relay-mag-debug-tuned-seed0"),
        (
            "mag",
            "drawn",
            "probe_relay-mag-debug-tuned-planner.choice=proportional-planner.num_trajectories=7-seed0",
        ),
    ]
    assert first[2].config.planner.num_trajectories == 7 and first[1].options == {}
    assert study.curves == ("method", "variant")


def test_the_grid_sees_what_other_tables_set(tmp_path):
    text = STUDY.replace('"commnet"', '"mag"')
    text += "[options]\nrollout.windows = 2\n[method_options.mag]\nplanner.kind = 'elite'\n"
    study = write_study(tmp_path, text + "[grid]\nplanner.num_elites = [1, 2]\n")
    elites = {cell.config.planner.num_elites for cell in study.cells if cell.config.algo == "mag"}
    assert elites == {1, 2} and all(cell.changed == {} for cell in study.cells if cell.config.algo == "mamba")


def test_a_grid_of_planners_leaves_mamba_without_one(tmp_path):
    text = STUDY.replace('"commnet"', '"mag"') + "[grid]\nplanner.kind = ['shooting', 'elite']\n"
    planners = {(cell.config.algo, cell.config.planner.kind) for cell in write_study(tmp_path, text).cells}
    assert planners == {("mamba", "none"), ("mag", "shooting"), ("mag", "elite")}
    with pytest.raises(UsageError, match=r"line 9: options\.planner\.kind: mamba does not plan"):
        write_study(
            tmp_path, text.replace("[grid]\nplanner.kind = ['shooting', 'elite']", "[options]\nplanner.kind = 'elite'")
        )


def test_the_last_table_that_names_a_planner_counts(tmp_path):
    text = STUDY.replace('["mamba", "commnet"]', '["mag"]')
    text += "[options]\nplanner.kind = 'shooting'\n[method_options.mag]\nplanner.kind = 'elite'\n"
    assert {cell.config.planner.kind for cell in write_study(tmp_path, text).cells} == {"elite"}


def test_steps_and_options_of_an_environment(tmp_path):
    text = STUDY.replace("steps = 500", 'steps = {default = 500, "probe/relay" = 700}')
    text += '[env_options."probe/relay"]\ncollect.num-envs = 8\n'
    cells = {(cell.config.env, cell.config.algo): cell for cell in write_study(tmp_path, text).cells}
    assert cells["probe/relay", "mamba"].config.steps == 700
    assert cells["probe/two-step", "mamba"].config.steps == 500
    assert cells["probe/relay", "commnet"].options == {"collect.num_envs": 8}
    assert cells["probe/two-step", "commnet"].options == {}


WRONG = {
    "unknown key": ("seeds = 2", "sedes = 2", "line 4: sedes: unknown key (did you mean seeds?)"),
    "missing key": ("seeds = 2\n", "", "seeds is missing"),
    "type of a key": ("seeds = 2", 'seeds = "2"', "line 4: seeds: '2' must be a whole number or a list"),
    "no seeds": ("seeds = 2", "seeds = 0", "line 4: seeds: 0 must be a whole number, at least 1"),
    "a seed twice": ("seeds = 2", "seeds = [1, 1]", "line 4: seeds: 1 is listed twice"),
    "unknown method": (
        '"commnet"]',
        '\n  "comnet"]',
        "line 4: methods: unknown algorithm 'comnet' (did you mean commnet?)",
    ),
    "a method twice": ('"commnet"', '"mamba"', "line 3: methods: 'mamba' is listed twice"),
    "unknown environment": ("probe/relay", "probe/realy", "line 2: envs: environment 'probe/realy'"),
    "steps": ("steps = 500", "steps = 0", "line 5: steps: 0 must be a whole number, at least 1"),
    "steps of nothing": ("steps = 500", "steps.x = 5", "line 5: steps.x: no such environment"),
    "size": ('"debug"', '"tiny"', "line 6: size: 'tiny' is unknown; allowed are paper, small, debug"),
    "TOML": ("seeds = 2", "seeds = ", "is not TOML: Invalid value (at line 4, column 9)"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_line_and_field(tmp_path, wrong):
    right, mistake, message = wrong
    text = STUDY.replace(right, mistake)
    assert text != STUDY
    with pytest.raises(UsageError) as error:
        write_study(tmp_path, text)
    assert message in str(error.value) and str(tmp_path / "small.toml") in str(error.value)


WRONG_OPTIONS = {
    "unknown option": ("[options]\nworkers = 1\npop.gamma = 0.9", "line 10: options.pop.gamma: mamba has no option"),
    "option of another method": (
        "[options]\nlearning.gamma = 0.9",
        "line 9: options.learning.gamma: mamba has no option of this name; commnet has: put it under "
        "[method_options.commnet]",
    ),
    "type of an option": ("[options]\nppo.gamma = 'high'", "line 9: options.ppo.gamma: 'high' is not a number"),
    "bounds": ("[options]\ncollect.steps = 0", "line 9: options.collect.steps: collect.steps is 0; it must be at"),
    "unused by the method": (
        "[options]\n[method_options.mamba]\nmodel_reward.layers = 3",
        "line 10: method_options.mamba.model_reward.layers: mamba does not plan",
    ),
    "in a table": (
        "[options.ppo]\ngamma = 1.5",
        "line 9: options.ppo.gamma: ppo.gamma is 1.5; it must be at least 0 and at most 1",
    ),
    "a run's folder": (
        "[options]\nrun = 'x'",
        "line 9: options.run: a study names the folders and options of its runs",
    ),
    "the study's own": ("[options]\nseed = 3", "line 9: options.seed: the study's own `seeds` sets it"),
    "method without options": ("[method_options.g2a]\nworkers = 1", "line 8: method_options.g2a: not in the study"),
    "grid of nobody": ("[grid]\nplanner.horizon = [1, 3]", "line 9: grid.planner.horizon: no method of the study"),
    "planner of the grid": ("[grid]\nplanner.kind = ['magic']", "line 9: grid.planner.kind: planner.kind is 'magic'"),
    "planner of nobody": ("[grid]\nplanner.kind = ['elite']", "line 9: grid.planner.kind: no method of the study"),
    "type of the planner": ("[options]\nplanner.kind = 3", "line 9: options.planner.kind: 3 must be text"),
    "variant of nobody": ("[variants.a]\nplanner.horizon = 3", "line 9: variants.a.planner.horizon: no method of the"),
    "variant that is no table": ("[variants]\na = 3", "line 9: variants.a: 3 must be a table of options"),
    "value of a variant": ("[variants.a]\nppo.gamma = 2", "line 9: variants.a.ppo.gamma: ppo.gamma is 2"),
    "equal variants": ("[variants.a]\nppo.gamma = 0.5\n[variants.b]\nppo.gamma = 0.5", "line 10: variants.b: makes"),
    "grid pooled": (
        "curves = ['method']\n[grid]\ncollect.steps = [8, 16]",
        "line 8: curves: collect.steps is missing, so that runs which differ in it would count as seeds of one curve",
    ),
    "panels pooled": (
        "panels = 'collect.steps'\ncurves = ['method']\n[grid]\ncollect.steps = [8, 16]",
        "line 9: curves: collect.steps is missing",
    ),
    "methods pooled": ("panels = 'env'\ncurves = []", "line 9: curves: method is missing"),
    "variants pooled": (
        "curves = ['method']\n[variants.a]\n[variants.b]\ncollect.steps = 9",
        "line 8: curves: variant is",
    ),
    "grid without list": ("[grid]\nppo.gamma = 0.9", "line 9: grid.ppo.gamma: 0.9 must be a list of values"),
}


@pytest.mark.parametrize("wrong", WRONG_OPTIONS.values(), ids=WRONG_OPTIONS)
def test_a_wrong_option_is_told_with_line_and_field(tmp_path, wrong):
    text, message = wrong
    if "ppo" in text:
        text = STUDY.replace(', "commnet"', "") + text
    elif "magic" in text:
        text = STUDY.replace('"commnet"', '"mag"') + text
    else:
        text = STUDY + text
    with pytest.raises(UsageError) as error:
        write_study(tmp_path, text)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["evaluation.every", "evaluation.episodes", "checkpoint.keep", "host.memory"])
def test_a_grid_over_options_that_make_no_other_experiment_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match=f"grid.{name}: runs that differ in it count as one experiment; set it under"):
        write_study(tmp_path, STUDY + f"[grid]\n{name} = [1, 2]\n")


def test_lines_of_tables_keys_and_items(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('a = [1,\n  "b"]\n[t]\n# c = 1\n"c.d" = 2\n[t.e]\nf = 3\n')
    file = StudyFile(path)
    assert [file.line("a"), file.line("a", "b"), file.line("t.c.d"), file.line("t.e.f"), file.line("t")] == [
        1,
        2,
        5,
        7,
        3,
    ]
    assert file.line("nowhere") == 1
