"""`mag evaluate`: the newest checkpoint of a run, tested."""

from pathlib import Path
from typing import Any

from mag.play.testing import evaluation_keys, means
from mag.runs.footprint import check_memory
from mag.runs.trained import load_run


def evaluate_run(path: Path, episodes: int) -> dict[str, Any]:
    """Results per seed; the keys are those of training's tests, so equal episodes give equal results.

    Raises UsageError where `path` holds no run or no usable checkpoint.
    """
    config, algorithm, player, state, progress, warnings = load_run(path)
    check_memory({"episodes": episodes * player.footprint()["episode"]}, config.num_seeds)
    keys = evaluation_keys(config.seed, config.num_seeds, progress.iteration)
    win_rate, returns, length = means(player.test(keys, algorithm.agent(state.learner), episodes))
    return {
        "run": str(path),
        "env": config.env,
        "algo": config.algo,
        "size": config.size,
        "recipe": config.recipe,
        "env_steps": progress.slowest,
        "episodes": episodes,
        "seeds": [config.seed + index for index in range(config.num_seeds)],
        "eval_win_rate": win_rate if player.spec.has_wins else None,
        "eval_return": returns,
        "eval_episode_length": length,
        "warnings": warnings,
    }


def format_result(result: dict[str, Any]) -> str:
    """The results as text, a line per seed."""
    lines = [
        *result["warnings"],
        f"{result['algo']} on {result['env']}, {result['env_steps']} env steps, {result['episodes']} greedy episodes:",
    ]
    for index, seed in enumerate(result["seeds"]):
        won = f"win rate {result['eval_win_rate'][index]:.3f}  " if result["eval_win_rate"] else ""
        returns, length = result["eval_return"][index], result["eval_episode_length"][index]
        lines.append(f"  seed {seed}  {won}return {returns:.3f}  length {length:.1f}")
    return "\n".join(lines)
