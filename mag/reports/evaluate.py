"""`mag evaluate`: the newest checkpoint of a run, tested."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mag.play.testing import evaluation_keys, make_evaluator, means
from mag.runs.trained import Trained, load_run


def evaluate_run(path: Path, episodes: int, *, load: Callable[[Path], Trained] = load_run) -> dict[str, Any]:
    """Results per seed; the keys are those of training's evaluation, so equal episodes give equal results.

    Raises UsageError where `path` holds no run or no usable checkpoint.
    """
    config, algorithm, state, progress, warnings = load(path)
    keys = evaluation_keys(config.seed, config.num_seeds, progress.iteration)
    result = make_evaluator(algorithm, episodes)(algorithm.policy(state), keys)
    win_rate, returned, length = means(result)
    return {
        "run": str(path),
        "env": config.env,
        "algo": config.algo,
        "preset": config.preset,
        "env_steps": progress.slowest,
        "episodes": episodes,
        "seeds": [config.seed + index for index in range(config.num_seeds)],
        "eval_win_rate": win_rate if algorithm.env.spec.has_wins else None,
        "eval_return": returned,
        "eval_episode_length": length,
        "warnings": warnings,
    }


def tell(result: dict[str, Any]) -> str:
    """The results for people, a line per seed."""
    lines = [
        *result["warnings"],
        f"{result['algo']} on {result['env']}, {result['env_steps']} env steps, {result['episodes']} greedy episodes:",
    ]
    for index, seed in enumerate(result["seeds"]):
        won = f"win rate {result['eval_win_rate'][index]:.3f}  " if result["eval_win_rate"] else ""
        returned, length = result["eval_return"][index], result["eval_episode_length"][index]
        lines.append(f"  seed {seed}  {won}return {returned:.3f}  length {length:.1f}")
    return "\n".join(lines)
