"""The host loop: iterate; log, test and checkpoint when due; resume.

Every algorithm is trained by this file and none is named in it. What is learned depends on the configuration
alone, not on when the run was saved, stopped or resumed; environments outside JAX begin their episodes anew.
"""

import contextlib
import json
import os
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Key

from mag import envs
from mag.algorithms.config import RunConfig
from mag.errors import PlayError, UsageError
from mag.learning import hosts
from mag.learning.parallel import device_grid
from mag.play.collecting import Played
from mag.play.episode import Agent
from mag.play.testing import evaluation_keys, means, returns_of_agents
from mag.runs import curve
from mag.runs.checkpoint import Checkpoints
from mag.runs.config_file import claim, extend, note_resumed
from mag.runs.folder import RunFolder, default_path, policy_lost, write_json
from mag.runs.interrupt import Interrupted, StopRequest
from mag.runs.logger import Logger, Row
from mag.runs.progress import Evaluation, Progress
from mag.runs.setup import RunState, Setup, headline, set_up
from mag.runs.wandb_logger import WandbLogger
from mag.runtime import own_cores


def train(config: RunConfig, path: Path | None = None) -> dict[str, Any]:
    """Train until every seed has played `config.steps` environment steps; returns the summary.

    A folder that holds the same run is resumed. Raises UsageError where it cannot be used or written, or where the
    run diverges, and Interrupted after SIGINT or SIGTERM, when the run has been saved.
    """
    path = path or default_path(config)
    try:
        return train_in(path, config) if hosts.leads() else follow(path, config)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(
            f"the run in {path} cannot go on ({error.strerror or error}: {error.filename or path}); what was saved "
            "is kept: fix the cause, and the same command resumes the run"
        ) from error


def follow(path: Path, config: RunConfig) -> dict[str, Any]:
    """The part of one of several processes that does not write: it shows nothing and leaves no file behind."""
    with tempfile.TemporaryDirectory() as own, Path(os.devnull).open("w") as silence:
        with contextlib.redirect_stdout(silence):
            return train_in(Path(own) / path.name, config, kept=RunFolder(path))


def train_in(path: Path, config: RunConfig, kept: RunFolder | None = None) -> dict[str, Any]:
    """Train in the folder `path`. Checkpoints and summary are read from `kept`, by default the same folder.

    Raises OSError where a file cannot be written, and otherwise as `train`.
    """
    device_grid(config.num_seeds, config.workers)  # refuses too many workers before there is a folder
    with claim(path, config) as folder, StopRequest(notify=print) as stop, contextlib.ExitStack() as stack:
        kept = kept or folder
        if finished := read_summary(kept, config):
            left = Checkpoints(kept.checkpoints, config.checkpoint.keep).iterations()
            print(f"{format_summary(finished, folder)}; {'more --steps extend it' if left else policy_lost(kept)}")
            return finished
        if sentence := envs.caution(config.env):
            print(sentence)
        ahead = None
        if jax.process_count() == 1:  # several processes have to compile in one order
            ahead = ThreadPoolExecutor(own_cores(), "compiling")
            stack.callback(ahead.shutdown, wait=False, cancel_futures=True)
        setup, state = set_up(config, ahead=ahead)
        print(headline(config, setup, folder.path), flush=True)
        stack.callback(setup.player.close)
        wandb = None
        if config.logger == "wandb" and hosts.leads():
            wandb = WandbLogger(folder, config)
            stack.callback(wandb.close)
        has_wins = setup.player.spec.has_wins
        checkpoints = Checkpoints(kept.checkpoints, config.checkpoint.keep)
        if kept is folder:  # other processes only read it
            checkpoints.remove_leftovers()
        hosts.wait("cleared")
        state, progress = resume(checkpoints, state, config, kept)
        hosts.wait("resumed")
        extend(folder, config)  # not before: a run that cannot go on keeps the configuration it has
        if progress.iteration and (news := note_resumed(folder, config)):
            print(news)
        with Logger(
            folder,
            steps=config.steps,
            offset=progress.metrics_bytes,
            done=progress.slowest,
            has_wins=has_wins,
            wandb=wandb,
        ) as logger:
            run = Run(setup, config, state, progress, checkpoints, logger)
            try:
                run.until_done(stop)
            finally:  # also after a stop or a divergence
                if complaint := curve.draw(folder, f"{config.algo} on {config.env}", has_wins=has_wins):
                    logger.say(complaint)
            return finish(run, folder)


def resume(checkpoints: Checkpoints, state: Any, config: RunConfig, folder: RunFolder) -> tuple[Any, Progress]:
    """The state and progress of the newest usable checkpoint; `state` and no progress where there is none.

    Raises UsageError where a run that was finished has lost its checkpoints.
    """
    restored = checkpoints.restore(state)
    if restored is None:
        if folder.summary.exists():
            raise UsageError(policy_lost(folder))
        if folder.metrics.exists() and folder.metrics.stat().st_size:
            print(f"nothing was saved in {folder.path} before it stopped: starting at env_steps 0 again")
        return state, Progress.start(config.num_seeds)
    for sentence in restored.damaged:
        print(sentence)
    progress = Progress.from_json(restored.progress)
    run = checkpoints.folder.parent
    print(f"resuming {run} at iteration {progress.iteration}, env_steps {progress.slowest}")
    return restored.state, progress


class Run:
    """A run under way: the state, what is known about it, and where it is logged."""

    def __init__(
        self,
        setup: Setup,
        config: RunConfig,
        state: RunState,
        progress: Progress,
        checkpoints: Checkpoints,
        logger: Logger,
    ) -> None:
        self.algorithm, self.player, _ = setup
        self.config = config
        self.state = state
        self.progress = progress
        self.checkpoints = checkpoints
        self.logger = logger
        self._clock = self._saved = time.monotonic()

    def until_done(self, stop: StopRequest) -> None:
        """Iterate until every seed has played its steps; evaluate at the start, when due, and at the end.

        Where the environment cannot be played any further the run is saved before PlayError is raised.
        """
        try:
            self.play_and_learn(stop)
        except PlayError as error:
            if not self.progress.iteration:
                raise
            self.save()
            raise PlayError(f"{error}; the run is saved, and the same command resumes it") from error

    def play_and_learn(self, stop: StopRequest) -> None:
        """The loop of `until_done`; where the environment fails, a PlayError leaves it without saving."""
        if self.progress.iteration == 0:
            self.log({}, self.evaluate())
        while self.progress.slowest < self.config.steps:
            metrics = self.iterate()
            try:
                tested = self.evaluate() if self.is_evaluation_due() else {}
            except PlayError:
                self.log(metrics, {})  # the iteration is saved, and not repeated
                raise
            self.log(metrics, tested)
            if signum := hosts.greatest(stop.signum or (0 if self.logger.is_heard else signal.SIGPIPE)):
                self.save()
                self.logger.say(f"saved in {self.checkpoints.folder.parent}; the same command resumes it")
                raise Interrupted(signum)
            if time.monotonic() - self._saved >= self.config.checkpoint.every:
                self.save()
        if not self.progress.is_evaluated:
            self.log({}, self.evaluate())
        self.save()

    def iterate(self) -> dict[str, np.ndarray]:
        """One iteration of the algorithm; returns its metrics, `[seeds]` each.

        Raises UsageError where one of them is not finite.
        """
        begin = time.monotonic()
        learner, players = self.state
        played: Played | None = None

        def play(keys: Key[Array, " seeds"], agent: Agent) -> Played:
            nonlocal players, played
            players, played = self.player.collect(keys, agent, players)
            return played

        learner, metrics = self.algorithm.iteration(learner, play)
        self.state = RunState(learner, players)
        assert played is not None, "an iteration has to play"
        metrics, episodes, transitions = jax.device_get((metrics, played.episodes, played.transitions))
        self.check_returns(episodes.returns[episodes.ended])
        self.progress.count_iteration(episodes, transitions.sum((1, 2)))
        broken = [
            f"{name} is {value} for seed {self.config.seed + seed}"
            for name, values in metrics.items()
            for seed, value in enumerate(values)
            if not np.isfinite(value)
        ]
        if broken:
            raise self.diverged(broken)
        seconds = np.full(self.config.num_seeds, time.monotonic() - begin)
        return {**metrics, "time/iteration": seconds}

    def evaluate(self) -> dict[str, np.ndarray]:
        """Test the greedy policies; returns the `eval/` metrics, `[seeds]` each."""
        begin = time.monotonic()
        keys = evaluation_keys(self.config.seed, self.config.num_seeds, self.progress.iteration)
        agent = self.algorithm.agent(self.state.learner)
        result = self.player.test(keys, agent, self.config.evaluation.episodes)
        self.check_returns(np.asarray(result.returns))
        evaluation = Evaluation(self.progress.iteration, *means(result))
        self.progress.add_evaluation(evaluation, self.config.evaluation.every)
        each = returns_of_agents(result)
        of_agents = (
            {} if each is None else {f"eval/return_of_agent_{agent}": each[:, agent] for agent in range(each.shape[1])}
        )
        return of_agents | {
            "eval/win_rate": np.asarray(evaluation.win_rate),
            "eval/return": np.asarray(evaluation.returns),
            "eval/episode_length": np.asarray(evaluation.length),
            "time/evaluation": np.full(self.config.num_seeds, time.monotonic() - begin),
        }

    def is_evaluation_due(self) -> bool:
        """Whether the steps of the next evaluation, or all steps of the run, have been played."""
        return self.progress.slowest >= min(self.progress.next_evaluation, self.config.steps)

    def log(self, metrics: dict[str, np.ndarray], evaluation: dict[str, np.ndarray]) -> None:
        """Write one row per seed and add the time since the last row to the run's."""
        now = time.monotonic()
        self.progress.wall_seconds += now - self._clock
        self._clock = now
        metrics = {**metrics, **self.player.metrics()}
        rows: list[Row] = []
        for index in range(self.config.num_seeds):
            row: Row = {
                "env_steps": self.progress.env_steps[index],
                "seed": self.config.seed + index,
                "iteration": self.progress.iteration,
                **self.progress.training(index),
                **{name: values[index].item() for name, values in (evaluation | metrics).items()},
                "time/elapsed": self.progress.wall_seconds,
            }
            if not self.player.spec.has_wins:
                row = {name: value for name, value in row.items() if not name.endswith("/win_rate")}
            rows.append(row)
        self.progress.metrics_bytes = self.logger.rows(rows)

    def save(self) -> None:
        """Write a checkpoint. Raises UsageError if the policy holds NaN, which keeps the last good checkpoint.

        Of several processes the first one writes.
        """
        broken = [
            f"{jax.tree_util.keystr(path, simple=True, separator='.')} of the policy holds NaN"
            for path, leaf in jax.tree_util.tree_leaves_with_path(
                eqx.filter(self.algorithm.agent(self.state.learner), eqx.is_inexact_array)
            )
            if np.isnan(leaf).any()
        ]
        if broken:
            raise self.diverged(broken[:1])
        if hosts.leads():
            self.checkpoints.save(self.state, self.progress.to_json(), self.progress.iteration)
        self._saved = time.monotonic()

    def check_returns(self, returns: np.ndarray) -> None:
        """Raise UsageError if a return is not finite."""
        if not np.isfinite(returns).all():
            wrong = returns[~np.isfinite(returns)].flat[0]
            raise UsageError(
                f"an episode of {self.config.env} has the return {wrong}; its rewards have to be finite numbers"
            )

    def diverged(self, broken: list[str]) -> UsageError:
        """The error that ends a run with non-finite values; `broken` lists them."""
        saved = self.checkpoints.iterations()
        kept = (
            f"the last good checkpoint is {self.checkpoints.folder / str(saved[-1])}" if saved else "nothing was saved"
        )
        others = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        return UsageError(
            f"training diverged in iteration {self.progress.iteration} at env_steps {self.progress.slowest}: "
            f"{broken[0]}{others}; {kept}; try smaller learning rates or gradient norms in a new --run"
        )


def finish(run: Run, folder: RunFolder) -> dict[str, Any]:
    """Write and print the summary."""
    config, progress, spec = run.config, run.progress, run.player.spec
    evaluation = progress.evaluation
    assert evaluation is not None
    summary = {
        "env": config.env,
        "algo": config.algo,
        "size": config.size,
        "recipe": config.recipe,
        "env_steps": progress.slowest,
        "wall_seconds": round(progress.wall_seconds, 3),
        "iterations": progress.iteration,
        "seeds": [config.seed + index for index in range(config.num_seeds)],
        "eval_episodes": config.evaluation.episodes,
        "eval_win_rate": evaluation.win_rate if spec.has_wins else None,
        "eval_return": evaluation.returns,
        "train_win_rate": [progress.training(index)["train/win_rate"] for index in range(config.num_seeds)]
        if spec.has_wins
        else None,
    }
    write_json(folder.summary, summary)
    run.logger.say(format_summary(summary, folder))
    return summary


def format_summary(summary: dict[str, Any], folder: RunFolder) -> str:
    """A summary in one line, which names results as metrics.jsonl does."""
    results = [
        f"{name} {' '.join(f'{value:.3g}' for value in summary[key])}"
        for name, key in (("eval/win_rate", "eval_win_rate"), ("eval/return", "eval_return"))
        if summary[key] is not None
    ]
    return (
        f"finished {folder.path}: env_steps {summary['env_steps']} in {summary['wall_seconds']:.0f} s, "
        f"{', '.join(results)} (per seed, {summary['eval_episodes']} greedy episodes)"
    )


def read_summary(folder: RunFolder, config: RunConfig) -> dict[str, Any] | None:
    """The summary of a run that has played `config.steps`, else None."""
    if not folder.summary.is_file():
        return None
    try:
        summary = json.loads(folder.summary.read_text())
        format_summary(summary, folder)
        return summary if summary["env_steps"] >= config.steps else None
    except (ValueError, LookupError, TypeError):
        return None  # a damaged summary is written again from the newest checkpoint
