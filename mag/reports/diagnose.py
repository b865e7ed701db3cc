"""`mag diagnose`: how well the world model of a run predicts sequences of D_e, by steps ahead."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from mag.algorithms import registry
from mag.algorithms.contract import Imagination, ModelBased
from mag.envs import EnvSpec
from mag.errors import UsageError
from mag.learning.parallel import first_seed
from mag.learning.ppo import reached
from mag.options import values
from mag.reports.realism import can_be_compared, check_compared, realism
from mag.reports.realism.show import format_realism
from mag.runs.resolve import with_planner
from mag.runs.trained import Trained, load_seed
from mag.runs.zoo import is_entry
from mag.runtime import compile_options
from mag.types import Arrival

HIGH = 0.01
"""Share of rewards that counts as the highest: kills and wins, which models learn last and policies need most."""
STREAM = 0x30DE15
"""Folded into the seed's key, for keys that no run trains with."""
OBSERVED = 5
"""Steps that a world model observes before it predicts on its own, in diagnoses and in watched battles."""
WORST = 5
"""Number of features of the observation that are listed as worst."""
PAGE = "When learning stays flat"
"""Title of the documentation's page that says what each number means and what to try."""


def diagnose_run(
    path: Path,
    batches: int,
    rollouts: int = 0,
    planner: Mapping[str, Any] | None = None,
    seed: int | None = None,
    *,
    simulator: bool = False,
) -> dict[str, Any]:
    """The result of `compare` on `batches` batches of D_e, for one seed of the newest checkpoint, by default the first.

    With `rollouts` above 0 and an environment in JAX, also the `realism` of about as many rollouts. `planner`, options
    by name, replaces the planner with which the run's models predict.

    Raises UsageError where `path` holds no run, no usable checkpoint or no such seed, an algorithm without models, or
    too little data; with `simulator` also where there is no simulator to compare with.
    """
    run = load_seed(path, seed)
    if planner:
        run = planned(run, planner, path)
    check_diagnosed(run, path)
    if simulator:
        check_compared(run)
    real, imagined = predicted(run, batches)
    config = run.config
    compared = compare(real, imagined, OBSERVED)
    for worst in compared["worst_features"]:
        worst["enemy"] = enemy_of(run.player.spec, worst["feature"])
    return {
        "run": str(path),
        "env": config.env,
        "algo": config.algo,
        "size": config.size,
        "recipe": config.recipe,
        "planner": values(config.planner) if hasattr(config, "planner") else None,
        "seed": config.seed,
        "env_steps": run.progress.env_steps[0],
        "sequences": len(real.first),
        "observed": OBSERVED,
        **compared,
        "realism": realism(run, rollouts=rollouts) if rollouts and can_be_compared(run) else None,
        "warnings": run.warnings,
    }


def planned(run: Trained, planner: Mapping[str, Any], path: Path) -> Trained:
    """The run with other planner options. Raises UsageError where the run learned no model reward to plan by."""
    if getattr(run.state.learner, "model_reward", None) is None:
        raise UsageError(f"{path} is a run of {run.config.algo} without a model reward to plan by; give one of mag")
    spec = run.algorithm.spec
    config = with_planner(run.config, planner, spec, lambda name: "--" + name.replace("_", "-"))
    whole = dataclasses.replace(config, workers=1)  # as `load_run`: the same sequences with every planner
    return run._replace(config=config, algorithm=registry.make(whole, spec))


def check_diagnosed(run: Trained, path: Path) -> None:
    """Raise UsageError where a run has no models, or no data that they could be compared with."""
    if not isinstance(run.algorithm, ModelBased):
        raise UsageError(f"{path} is a run of {run.config.algo}, which has no models; give one of mag or mamba")
    learner = run.state.learner
    drawn = jax.eval_shape(run.algorithm.draw_sequences, jax.random.key(0), jax.eval_shape(first_seed, learner))
    if (length := drawn.first.shape[1]) <= OBSERVED:
        raise UsageError(f"{path} was trained on sequences of {length} steps; more than {OBSERVED} are needed")
    if is_entry(path):
        raise UsageError(f"{path} holds weights and no data to compare with; give the folder of a run")
    if not run.algorithm.can_learn(learner):
        raise UsageError(f"{path} has not collected enough to learn from yet; train it for longer")


def predicted(run: Trained, batches: int) -> tuple[Arrival, Imagination]:
    """Sequences of D_e `[sequences, time, ...]`, and how the models predict them after the first `OBSERVED` steps."""
    algorithm = cast(ModelBased, run.algorithm)

    def batch(key: PRNGKeyArray, states: Any) -> tuple[Arrival, Imagination]:
        state = first_seed(states)
        key_sample, key_imagine = jax.random.split(key)
        sequences = algorithm.draw_sequences(key_sample, state)
        keys = jax.random.split(key_imagine, sequences.first.shape[0])
        return sequences, jax.vmap(lambda key, each: algorithm.imagine(key, state, each, observed=OBSERVED))(
            keys, sequences
        )

    key = jax.random.fold_in(jax.random.key(run.config.seed), STREAM)
    compiled = jax.jit(batch, compiler_options=compile_options())
    found = [compiled(key, run.state.learner) for key in jax.random.split(key, batches)]
    return jax.tree.map(lambda *parts: np.concatenate(parts), *found)


def compare(real: Arrival, imagined: Imagination, observed: int) -> dict[str, Any]:
    """Compare real with imagined sequences `[sequences, time, ...]`: the first `observed` steps seen, then predictions.

    `..._unexplained` is the squared error over the variance: 0 is perfect, 1 as good as predicting the mean, None if
    real values are constant. `worst_features` are the observation's features with most of its squared error one step
    ahead. Steps after the end of an episode inside a sequence are left out; an imagined end counts once, as the rate of
    imagined ends is that of the steps that imagination reaches. Raises UsageError if no step is left.
    """
    first, obs, continues = (np.asarray(x) for x in (real.first, real.obs, real.continues))
    reward = np.asarray(real.rewards.mean(-1))
    seen, guess, goes_on = (np.asarray(x) for x in (imagined.obs, imagined.reward, imagined.continues))
    over = first[:, observed:] | (continues[:, observed - 1 : -1] == 0)
    inside = ~np.logical_or.accumulate(over, axis=1)
    if not inside.any():
        raise UsageError("every sequence drawn ends within the observed steps; give more --batches")
    start = observed - 1
    rows: list[dict[str, Any]] = [{"ahead": 0, "obs_unexplained": _unexplained(obs[:, start], seen[:, start])}]
    for time in range(observed, observed + int(inside.any(0).sum())):
        here = inside[:, time - observed]
        rows.append(
            {
                "ahead": time - start,
                "obs_unexplained": _unexplained(obs[here, time], seen[here, time]),
                "reward_unexplained": _unexplained(reward[here, time], guess[here, time]),
                "reward": float(reward[here, time].mean()),
                "reward_imagined": float(guess[here, time].mean()),
            }
        )
    ahead = inside[:, 0]
    worst = _worst_features(obs[ahead, observed], seen[ahead, observed])
    weights = np.asarray(reached(jnp.asarray(goes_on[:, observed:])))[inside]
    reward, guess, continues, goes_on = (x[:, observed:][inside] for x in (reward, guess, continues, goes_on))
    high, ended = np.argsort(reward)[-max(1, round(HIGH * len(reward))) :], continues == 0
    return {
        "by_steps_ahead": rows,
        "worst_features": worst,
        "high_reward": float(reward[high].mean()),
        "high_reward_imagined": float(guess[high].mean()),
        "ends": float(ended.mean()),
        "ends_imagined": float(np.average(1 - goes_on, weights=weights)),
        "ends_imagined_there": _mean(1 - goes_on[ended], weights[ended]),
    }


def _mean(values: np.ndarray, weights: np.ndarray) -> float | None:
    """The weighted mean; None where no value has a weight."""
    return float(np.average(values, weights=weights)) if weights.sum() > 0 else None


def _unexplained(real: np.ndarray, guess: np.ndarray) -> float | None:
    """Squared error over variance, both summed over samples and features, the last axis (`[n]` is one feature)."""
    real, guess = (x.reshape(-1, x.shape[-1] if x.ndim > 1 else 1).astype(float) for x in (real, guess))
    variance = np.square(real - real.mean(0)).sum()
    return float(np.square(real - guess).sum() / variance) if variance > 0 else None


def _worst_features(real: np.ndarray, guess: np.ndarray) -> list[dict[str, Any]]:
    """The features `[..., features]` with most of the squared error, worst first; none where there is no error."""
    error = np.square(real - guess, dtype=float).reshape(-1, real.shape[-1]).sum(0)
    worst = [int(feature) for feature in np.argsort(-error, kind="stable")[:WORST] if error[feature] > 0]
    return [
        {
            "feature": feature,
            "share_of_error": float(error[feature] / error.sum()),
            "unexplained": _unexplained(real[..., feature].ravel(), guess[..., feature].ravel()),
        }
        for feature in worst
    ]


def enemy_of(spec: EnvSpec, feature: int) -> int | None:
    """Which enemy, from 1 on, a feature of the observation tells of; None if of none, or if it is not known."""
    if spec.enemies is None:
        return None
    enemy = 1 + (feature - spec.enemies.first_feature) // spec.enemies.features
    return enemy if 1 <= enemy <= spec.enemies.count else None


def _share(value: float | None, width: int) -> str:
    return f"{value:{width}.3f}" if value is not None else f"{'-':>{width}}"


def format_result(result: dict[str, Any]) -> str:
    """The result for people."""
    rows = result["by_steps_ahead"]
    shown = [row for row in rows if row["ahead"] in (0, 1, 2, 4, 8, len(rows) - 1)]
    lines = [
        *result["warnings"],
        f"{result['algo']} on {result['env']}, seed {result['seed']}, {result['env_steps']} env steps: "
        f"{result['sequences']} sequences of D_e, {result['observed']} steps seen, the rest predicted from the real "
        "actions",
        "steps   share unexplained        mean reward",
        "ahead   observation   reward     real   imagined",
        f"{0:5}   {_share(rows[0]['obs_unexplained'], 11)}",
    ]
    for row in shown[1:]:
        lines.append(
            f"{row['ahead']:5}   {_share(row['obs_unexplained'], 11)}   {_share(row['reward_unexplained'], 6)}   "
            f"{row['reward']:6.3f}   {row['reward_imagined']:8.3f}"
        )
    named = []
    for worst in result["worst_features"]:
        whose = f"of enemy {worst['enemy']}, " if worst.get("enemy") else ""
        share, unexplained = worst["share_of_error"], _share(worst["unexplained"], 1)
        named.append(f"{worst['feature']} ({whose}{share:.0%}, unexplained {unexplained})")
    lines.append("most of the observation's error one step ahead, by feature: " + (", ".join(named) or "none"))
    if any(worst["unexplained"] is None for worst in result["worst_features"]):
        lines.append("  (-: the real values do not vary)")
    there = result["ends_imagined_there"]
    lines += [
        f"highest {100 * HIGH:g} % of rewards: mean {result['high_reward']:.2f}, "
        f"imagined {result['high_reward_imagined']:.2f}",
        f"ends per step: {result['ends']:.4f}, imagined {result['ends_imagined']:.4f}"
        + ("" if there is None else f"; at real ends, imagined {there:.2f}"),
        *(format_realism(result["realism"]) if result.get("realism") else []),
        f'what each reading means and what to try: the page "{PAGE}" (docs/learning-stays-flat.md)',
    ]
    return "\n".join(lines)
