"""A run's counters and latest test, kept on the host and saved with every checkpoint."""

import dataclasses
from typing import Any

import numpy as np

from mag.types import Episodes

WINDOW = 20
"""Episodes over which the training win rate is taken."""


@dataclasses.dataclass
class Evaluation:
    """A test of the greedy policies, means over the episodes of each seed."""

    iteration: int
    win_rate: list[float]
    returns: list[float]
    length: list[float]


@dataclasses.dataclass
class Progress:
    """Counters of a run of several seeds. Lists have one element per seed."""

    iteration: int
    env_steps: list[int]
    """Real environment steps played."""
    episodes: list[int]
    """Episodes ended."""
    windows: list[list[list[float]]]
    """The last `WINDOW` episodes, oldest first, each `[won, return, length]`."""
    next_evaluation: int = 0
    """Environment steps at which the next evaluation is due."""
    evaluation: Evaluation | None = None
    """The latest evaluation."""
    metrics_bytes: int = 0
    """Size of metrics.jsonl."""
    wall_seconds: float = 0.0
    """Time trained, over all processes that worked on the run."""

    @classmethod
    def start(cls, num_seeds: int) -> "Progress":
        """A run that has not begun."""
        return cls(0, [0] * num_seeds, [0] * num_seeds, [[] for _ in range(num_seeds)])

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Progress":
        """The inverse of `to_json`."""
        evaluation = values["evaluation"]
        return cls(**{**values, "evaluation": evaluation and Evaluation(**evaluation)})

    def to_json(self) -> dict[str, Any]:
        """The progress as JSON values; floats survive bit for bit."""
        return dataclasses.asdict(self)

    @property
    def slowest(self) -> int:
        """Environment steps of the seed that has played the fewest."""
        return min(self.env_steps)

    @property
    def is_evaluated(self) -> bool:
        """Whether the present parameters have been evaluated."""
        return self.evaluation is not None and self.evaluation.iteration == self.iteration

    def count_iteration(self, episodes: Episodes, env_steps: np.ndarray) -> None:
        """Count one iteration: leaves of `episodes` are `[seeds, envs, time]`, `env_steps` is `[seeds]`."""
        self.iteration += 1
        for seed, steps in enumerate(env_steps):
            self.env_steps[seed] += int(steps)
            ended = np.asarray(episodes.ended[seed]).T  # in the order of time
            columns = (episodes.won, episodes.mean_returns, episodes.length)
            rows = np.stack([np.asarray(column[seed]).T[ended].astype(float) for column in columns], axis=-1)
            self.episodes[seed] += len(rows)
            self.windows[seed] = (self.windows[seed] + rows.tolist())[-WINDOW:]

    def add_evaluation(self, evaluation: Evaluation, every: int) -> None:
        """Note an evaluation and when the next is due: at the first multiple of `every` not yet reached."""
        self.evaluation = evaluation
        self.next_evaluation = (self.slowest // every + 1) * every

    def training(self, seed: int) -> dict[str, float | int | None]:
        """The `train/` metrics of a seed; None before its first episode has ended."""
        window = np.asarray(self.windows[seed]).reshape(-1, 3)
        won, returns, length = window.mean(axis=0).tolist() if len(window) else (None, None, None)
        return {
            "train/win_rate": won,
            "train/return": returns,
            "train/episode_length": length,
            "train/episodes": self.episodes[seed],
        }
