"""Metrics to Weights & Biases: a run there for each seed, which goes on under its id when the run here is resumed.

The package `wandb` reads its own settings from the environment: with `WANDB_MODE=offline` nothing is sent and
`wandb sync` sends it later. A run that was resumed offline has a folder for each part; `wandb sync --append` sends
them, the oldest first. Environment steps are the steps there, too, so parts follow each other.
"""

import contextlib
import json
import os
import secrets
from typing import Any

from mag.algorithms.config import RunConfig
from mag.errors import UsageError
from mag.options import values
from mag.runs.folder import RunFolder, write_json

IDS = "wandb.json"
"""The ids of the seeds' runs, in the run folder."""
PROJECT = "mag"
"""The project where `WANDB_PROJECT` names none."""
X_AXIS = "env_steps"


class WandbLogger:
    """The seeds' runs at Weights & Biases, open until `close`."""

    def __init__(self, folder: RunFolder, config: RunConfig) -> None:
        """Begin the runs. Raises UsageError where the package is missing, or the service refuses them."""
        try:
            import wandb
        except ImportError as error:
            raise UsageError(
                "--logger wandb needs the package wandb; install it with `pip install models-as-agents[wandb]`, or "
                "leave the option out"
            ) from error
        self._wandb, self._folder, self._config = wandb, folder, config
        self._runs: dict[int, Any] = {}
        seeds = range(config.seed, config.seed + config.num_seeds)
        ids = kept_ids(folder) or {str(seed): secrets.token_hex(4) for seed in seeds}
        try:
            for seed in seeds:
                self._runs[seed] = self._start_run(seed, ids[str(seed)])
        except wandb.Error as error:
            self.close()
            raise UsageError(
                f"Weights & Biases cannot be used ({error}); call `wandb login`, keep metrics here with "
                "WANDB_MODE=offline, or leave out --logger wandb"
            ) from error
        write_json(folder.path / IDS, ids)  # only of runs that there are: a refused folder stays as it was

    def row(self, row: dict[str, Any]) -> str | None:
        """One seed's metrics at one iteration; a sentence where they can no longer be told.

        After a resume, Weights & Biases ignores steps that it has already.
        """
        told = {name: value for name, value in row.items() if value is not None and name != "seed"}
        try:
            self._runs[row["seed"]].log(told, step=row[X_AXIS])
        except self._wandb.Error as error:
            return f"Weights & Biases is told no more ({error}); metrics.jsonl goes on"
        return None

    def close(self) -> None:
        """End all runs."""
        for run in self._runs.values():
            with contextlib.suppress(self._wandb.Error):
                run.finish()

    def _start_run(self, seed: int, run_id: str) -> Any:
        path = self._folder.path.resolve()
        run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=path.name,
            name=f"{path.name}-{seed}" if self._config.num_seeds > 1 else path.name,
            id=run_id,
            resume="allow",
            reinit="create_new",
            dir=str(path),
            config=values(self._config) | {"seed": seed},
        )
        run.define_metric(X_AXIS)
        run.define_metric("*", step_metric=X_AXIS)
        return run


def kept_ids(folder: RunFolder) -> dict[str, str]:
    """The ids of the seeds' runs that are kept in the run folder; empty without any."""
    file = folder.path / IDS
    return dict(json.loads(file.read_text())) if file.exists() else {}
