"""The display of a sweep: progress of runs and time left."""

import io

import pytest
from rich.console import Console

from mag.experiments.display import Display, Pace, results, table
from mag.experiments.jobs import Glance, Outcome, glance
from mag.experiments.sweep import plan_jobs
from tests.experiments.support import write_study


@pytest.fixture
def planned(tmp_path):
    """The jobs of a study: MAMBA and CommNet on two-step, then on relay, 500 steps each, then with the next seed."""
    return plan_jobs(write_study(tmp_path), tmp_path, set(), seeds_together=False)


def test_pace_is_taken_from_the_same_method_and_environment_first(planned):
    pace = Pace()
    assert pace.seconds(planned[0], 100) is None
    pace.add(planned[0], 200, 100.0, is_over=True)  # MAMBA on two-step: half a second a step
    pace.add(planned[1], 100, 10.0, is_over=True)  # CommNet on two-step: a tenth
    assert pace.seconds(planned[4], 100) == 50  # the next seed of MAMBA on two-step
    assert pace.seconds(planned[3], 100) == 10  # CommNet on relay, as on two-step
    pace.add(planned[3], 100, 40.0, is_over=False)
    assert pace.seconds(planned[7], 100) == 40
    assert pace.seconds(planned[2], 100) == 50


def test_a_glance_tells_the_last_row_and_the_last_test(tmp_path):
    assert glance(tmp_path) == Glance(0, None, None)
    lines = [
        '{"env_steps": 10, "eval/win_rate": 0.5, "eval/return": 3.0, "time/elapsed": 1.0}',
        '{"env_steps": 20, "time/elapsed": 2.5}',
        '{"env_steps": 30, "ti',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert glance(tmp_path) == Glance(20, 0.5, 3.0, 2.5)
    assert results(glance(tmp_path)) == "win rate 0.5, return 3 at 20 env steps"


def test_time_left_is_that_of_the_places_that_work(planned, monkeypatch):
    output = io.StringIO()
    clock = [0.0]
    monkeypatch.setattr("mag.experiments.display.time.monotonic", lambda: clock[0])
    with Display("Study", planned, done=2, console=Console(file=output, width=200)) as display:
        display.started(planned[0])
        display.started(planned[1])
        running = {planned[0]: 0.0, planned[1]: 0.0}
        for job, steps in zip(planned[:2], (100, 250), strict=True):
            job.path.mkdir()
            (job.path / "metrics.jsonl").write_text(f'{{"env_steps": {steps}}}\n')
        clock[0] = 100.0
        display.update(running, planned[2:])
    # MAMBA: 1 s a step, 400 left; CommNet: 0.4 s, 250 left; waiting: three runs of each, 3 * (500 + 200) s.
    # (400 + 100 + 2100) / 2 places = 1300 s.
    text = output.getvalue()
    assert "Study: 8 runs, 2 more are finished or kept" in text
    assert "0 of 8 runs finished, 21:40 left; running: probe_two-step-mamba-debug-tuned-seed0 20 %" in text


def test_finished_runs_of_an_earlier_sweep_tell_the_pace(planned):
    display = Display("Study", planned, done=0, console=Console(file=io.StringIO()))
    display.ended(Outcome(planned[0], 0, ""), Glance(500, None, 1.0, 1000.0), 0.0)
    assert display._pace.seconds(planned[4], 500) == 1000


def test_the_table_has_a_row_for_each_run(planned):
    output = io.StringIO()
    Console(file=output, width=200).print(table({planned[0]: 0.0}, {planned[0]: Glance(250, 0.25, 5.0)}))
    assert "━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌  50%" in output.getvalue() and "win rate 0.25, return 5" in output.getvalue()
