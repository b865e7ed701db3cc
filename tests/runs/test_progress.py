"""Counters and the training win rate over the last 20 episodes."""

import json

import numpy as np

from mag.runs.progress import Evaluation, Progress
from mag.types import Episodes


def episodes(won):
    """`won[seed][time][env]`: 1 won, 0 lost, -1 no end, as `[seed, env, time]`; returns are 10 x won, lengths 3."""
    won = np.asarray(won).swapaxes(1, 2)
    return Episodes(won >= 0, won == 1, 10.0 * won, np.full(won.shape, 3))


def test_only_ended_episodes_count_and_seeds_are_apart():
    progress = Progress.start(2)
    progress.count_iteration(episodes([[[1, -1], [0, 1]], [[-1, -1], [-1, 0]]]), np.asarray([4, 3]))
    assert progress.env_steps == [4, 3]
    assert progress.slowest == 3
    # Seed 0: won, lost, won. Seed 1: lost.
    assert progress.training(0) == {
        "train/win_rate": 2 / 3,
        "train/return": 20 / 3,
        "train/episode_length": 3.0,
        "train/episodes": 3,
    }
    assert progress.training(1)["train/win_rate"] == 0.0


def test_the_window_holds_the_last_20_in_time_order():
    progress = Progress.start(1)
    progress.count_iteration(episodes([[[0, 0]] * 11]), np.asarray([22]))
    progress.count_iteration(episodes([[[1, -1]] * 5]), np.asarray([10]))
    # 22 lost and then 5 won: of the last 20, 5 are won.
    assert progress.training(0)["train/win_rate"] == 5 / 20
    assert progress.training(0)["train/episodes"] == 27


def test_no_episode_has_no_rate():
    assert Progress.start(1).training(0)["train/win_rate"] is None


def test_the_next_evaluation_is_on_the_grid_whatever_was_skipped():
    progress = Progress.start(1)
    progress.env_steps = [250]
    progress.add_evaluation(Evaluation(3, [0.5], [1.0], [2.0]), every=100)
    assert progress.next_evaluation == 300


def test_json_keeps_every_bit():
    progress = Progress.start(2)
    progress.count_iteration(episodes([[[1]], [[0]]]), np.asarray([1, 1]))
    progress.windows[0][0][1] = 0.1 + 0.2
    progress.add_evaluation(Evaluation(1, [1 / 3, 0.0], [1.0, 2.0], [3.0, 4.0]), every=10)
    assert Progress.from_json(json.loads(json.dumps(progress.to_json()))) == progress
