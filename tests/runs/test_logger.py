"""metrics.jsonl, TensorBoard events and what people see."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tensorboardX.proto.event_pb2 import Event

from mag.runs.curve import curve_figure, draw
from mag.runs.folder import RunFolder
from mag.runs.logger import Logger, Terminal, average, duration, rate, read_rows
from mag.runs.train import format_summary


def make_row(seed, steps, **values):
    return {"env_steps": steps, "seed": seed, "iteration": steps // 10, "train/win_rate": None, **values}


def make_logger(path, **changes):
    settings = {"steps": 100, "offset": 0, "done": 0, "has_wins": True} | changes
    return Logger(RunFolder(path), **settings)


def test_a_line_per_seed_and_iteration(tmp_path):
    rows = [make_row(0, 10, **{"models/loss": 0.1}), make_row(1, 10, **{"models/loss": 0.2})]
    with make_logger(tmp_path) as logger:
        size = logger.rows(rows)
    assert read_rows(RunFolder(tmp_path)) == (rows, [])
    assert (tmp_path / "metrics.jsonl").stat().st_size == size


def test_lines_after_the_checkpoint_are_cut(tmp_path):
    with make_logger(tmp_path) as logger:
        kept = logger.rows([make_row(0, 10)])
        logger.rows([make_row(0, 20)])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"torn')
    with make_logger(tmp_path, offset=kept, done=10) as logger:
        logger.rows([make_row(0, 21)])
    assert [row["env_steps"] for row in read_rows(RunFolder(tmp_path))[0]] == [10, 21]


def test_half_a_line_at_the_end_of_a_file_that_lost_more_is_cut(tmp_path):
    whole = json.dumps(make_row(0, 10)) + "\n"
    (tmp_path / "metrics.jsonl").write_text(whole + whole[:7])
    with make_logger(tmp_path, offset=10 * len(whole)) as logger:
        logger.rows([make_row(0, 20)])
    assert [row["env_steps"] for row in read_rows(RunFolder(tmp_path))[0]] == [10, 20]


def test_numbers_that_json_does_not_know_are_refused(tmp_path):
    with make_logger(tmp_path) as logger, pytest.raises(ValueError, match="JSON"):
        logger.rows([make_row(0, 10, **{"models/loss": float("nan")})])


def events_below(folder):
    """All events of the event files below a folder."""
    for file in sorted(folder.rglob("events.out*")):
        data = file.read_bytes()
        while data:
            length = int.from_bytes(data[:8], "little")
            yield Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def read_events(folder):
    """Their scalars: name -> [(step, value)]."""
    found = {}
    for event in events_below(folder):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_events_are_over_environment_steps_and_apart_by_seed(tmp_path):
    with make_logger(tmp_path) as logger:
        logger.rows([make_row(3, 10, **{"models/loss": 0.5}), make_row(4, 12, **{"models/loss": 2.0})])
    assert read_events(tmp_path / "events" / "seed3")["models/loss"] == [(10, 0.5)]
    assert read_events(tmp_path / "events" / "seed4")["models/loss"] == [(12, 2.0)]


def test_a_full_disk_is_told_when_events_are_written(tmp_path, monkeypatch):
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr("tensorboardX.record_writer.open_file", lambda path: full)
        with pytest.raises(OSError, match="No space left"), make_logger(tmp_path) as logger:
            logger.rows([make_row(0, 10)])
    assert read_rows(RunFolder(tmp_path)) == ([make_row(0, 10)], [])


def test_what_is_played_again_is_hidden_in_events(tmp_path):
    with make_logger(tmp_path) as logger:
        kept = logger.rows([make_row(0, 10)])
    with make_logger(tmp_path, offset=kept, done=10) as logger:
        logger.rows([make_row(0, 20)])
    starts = [event.step for event in events_below(tmp_path) if event.HasField("session_log")]
    assert sorted(starts) == [10, 20]


def make_terminal(*, is_terminal):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=is_terminal, width=160)
    return Terminal(100, 0, has_wins=True, console=console), stream


def test_plain_lines_without_a_terminal():
    terminal, stream = make_terminal(is_terminal=False)
    terminal.start()
    values = {"train/win_rate": 0.25, "eval/win_rate": 0.5, "eval/return": 3.0, "models/loss": 1.5}
    terminal.rows([make_row(0, 50, **values)])
    terminal.stop()
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("env_steps 50/100")
    for part in ("eval/win_rate 0.5", "eval/return 3", "train/win_rate 0.25", "models/loss 1.5"):
        assert part in line
    assert "\x1b" not in line


def test_bar_plain_lines_and_last_line_name_a_metric_alike(tmp_path):
    values = {"eval/win_rate": 0.5, "eval/return": 3.0, "train/win_rate": 0.25, "models/loss": 1.5}
    shown = []
    for is_terminal in (True, False):
        terminal, stream = make_terminal(is_terminal=is_terminal)
        terminal.start()
        terminal.rows([make_row(0, 50, **values)])
        terminal.stop()
        shown.append(stream.getvalue())
    summary = {"env_steps": 50, "wall_seconds": 2, "eval_win_rate": [0.5], "eval_return": [3.0], "eval_episodes": 8}
    last = format_summary(summary, RunFolder(tmp_path))
    assert all(name in text for name in ("env_steps", *values) for text in shown)
    assert all(f"{name} " in last for name in ("env_steps", "eval/win_rate", "eval/return"))
    assert not [text for text in (*shown, last) if "env steps" in text or "eval_" in text]


def test_plain_lines_are_few():
    terminal, stream = make_terminal(is_terminal=False)
    for steps in range(1, 50):
        terminal.rows([make_row(0, steps)])
    assert len(stream.getvalue().splitlines()) == 1


def test_speed_is_that_of_the_latest_iterations_from_wherever_a_run_goes_on(monkeypatch):
    stream = io.StringIO()
    terminal = Terminal(1000, 500, has_wins=True, console=Console(file=stream, width=160))
    clock = 0.0
    monkeypatch.setattr("mag.runs.logger.time.monotonic", lambda: clock)
    for iteration in range(1, 30):
        clock += 4
        values = {"eval/return": 1.0, "models/loss": 2.0}
        terminal.rows([make_row(seed, 500 + 8 * iteration, **values) for seed in (0, 1)])
    lines = stream.getvalue().splitlines()
    assert len(lines) == 29
    assert all("  4 env_steps/s, " in line for line in lines[1:])


def test_the_clock_starts_after_the_first_iteration_that_learned(monkeypatch):
    stream = io.StringIO()
    terminal = Terminal(1000, 0, has_wins=True, console=Console(file=stream, width=160))
    clock = 0.0
    monkeypatch.setattr("mag.runs.logger.time.monotonic", lambda: clock)
    # Collecting alone takes 1 s an iteration, the first that learns 90 s with its compilation, the others 4 s.
    for iteration, seconds in enumerate([1, 1, 90, 4, 4], 1):
        clock += seconds
        learned = {"models/loss": 1.0} if seconds > 1 else {}
        terminal.rows([make_row(0, 10 * iteration, **{"eval/return": 1.0}, **learned)])
    *early, fourth, fifth = stream.getvalue().splitlines()
    assert len(early) == 3 and all("compiling" in line for line in early)
    # 10 steps in 4 s: 2.5 a second, so the 960 and 950 steps left take 384 and 380 s.
    assert "2.5 env_steps/s, 6:24 left" in fourth and "2.5 env_steps/s, 6:20 left" in fifth


def test_a_rate_below_one_is_not_shown_as_none():
    assert [rate(x) for x in (0.042, 0.6, 9.96, 10.0, 1234.5)] == ["0.042", "0.6", "10", "10", "1234"]


def test_a_terminal_gets_a_bar():
    terminal, stream = make_terminal(is_terminal=True)
    terminal.start()
    for steps in (10, 20, 30):
        terminal.rows([make_row(0, steps, **{"models/loss": 1.5})])
    terminal.stop()
    assert "30/100" in stream.getvalue()
    assert "models/loss" in stream.getvalue()


def test_averages_leave_out_what_a_seed_lacks():
    rows = [{"a": 1.0, "b": None}, {"a": 3.0, "b": 2.0}]
    assert average(rows) == {"a": 2.0}


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0:00"), (61.4, "1:01"), (3725.0, "1:02:05")])
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


ROWS = [
    make_row(seed, steps, **{"eval/win_rate": rate, "eval/return": 20 * rate, "train/return": 5.0})
    for steps, rates in ((0, (0.0, 0.5)), (10, (0.25, 0.75)), (20, (1.0, 0.5)))
    for seed, rate in enumerate(rates)
]


@pytest.mark.parametrize("has_wins", [True, False])
def test_the_curve_is_drawn_into_its_file(tmp_path, has_wins):
    folder = RunFolder(tmp_path)
    folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert draw(folder, "a title", has_wins=has_wins) is None
    with Image.open(folder.curve) as shown:
        assert (shown.format, shown.size) == ("PNG", (840, 540))  # 7 x 4.5 inches of 120 dots
        assert len(shown.convert("RGB").getcolors(shown.width * shown.height)) > 10  # something is drawn


@pytest.mark.parametrize(("has_wins", "scale"), [(True, 1), (False, 20)])
def test_the_curve_shows_each_seed_and_their_mean(has_wins, scale):
    (axes,) = curve_figure(ROWS, "a title", has_wins=has_wins).axes
    tests = {tuple(np.asarray(line.get_ydata()) / scale) for line in axes.lines if line.get_color() == "tab:blue"}
    # Seeds 0 and 1, and their mean.
    assert tests == {(0, 0.25, 1), (0.5, 0.75, 0.5), (0.25, 0.5, 0.75)}
    assert all(line.get_xdata().tolist() == [0, 10, 20] for line in axes.lines)
    assert (axes.get_title(), axes.get_ylabel()) == ("a title", "win rate" if has_wins else "return")
    # No training win rate is known yet, but a return is.
    labels = axes.get_legend_handles_labels()[1]
    assert [label.partition(",")[0] for label in labels] == (["test"] if has_wins else ["training", "test"])


def test_the_mean_is_of_iterations_that_all_seeds_have():
    (axes,) = curve_figure(ROWS[:-1], "a title", has_wins=True).axes
    means = [line.get_ydata().tolist() for line in axes.lines if line.get_linewidth() == 2]
    assert means == [[0.25, 0.5]]
