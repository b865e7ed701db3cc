"""Battles as one HTML page that needs nothing but a browser: `page.html` with the recordings in its middle."""

import json
from importlib.resources import files
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool

from mag.envs.view import Frame, Scene
from mag.reports.diagnose import OBSERVED
from mag.reports.watch.record import Battle, imagined_end, outcome

PLACE = "{{DATA}}"
"""The template's placeholder for the data."""


def page(battles: list[Battle], scene: Scene, title: str, subtitle: str) -> str:
    """The page's source, with the data as JSON, escaped so that no text can close the surrounding script element."""
    data = {
        "title": title,
        "subtitle": subtitle,
        "scene": {**scene._asdict(), "kinds": [kind._asdict() for kind in scene.kinds]},
        "battles": [battle_data(battle) for battle in battles],
    }
    template = files("mag.reports.watch").joinpath("page.html").read_text(encoding="utf-8")
    return template.replace(PLACE, json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))


def battle_data(battle: Battle) -> dict[str, Any]:
    """A battle as the page takes it: lists by step, and in each by unit; `Frame` explains their values."""
    real = battle.real
    found: dict[str, Any] = {
        "length": int(real.result.length),
        "result": outcome(battle),
        "kind": real.frames.kind[0].tolist(),
        "reward": rounded(real.arrivals.rewards.mean(-1), digits=4),
        "real": track(battle.real.frames, battle.fired),
        "imagined": None,
    }
    if battle.imagined is not None:
        frames, prediction = battle.imagined.frames, battle.imagined.prediction
        found["imagined"] = {
            **track(frames, np.zeros_like(battle.fired)),
            "observed": OBSERVED,
            "end": int(imagined_end(prediction)),
            "reward": rounded(prediction.reward, digits=4),
            "error": rounded(prediction.error, digits=4),
            "one_step": rounded(prediction.one_step, digits=4),
        }
    return found


def track(frames: Frame, fired: Bool[np.ndarray, "time units"]) -> dict[str, Any]:
    """The parts of frames that are drawn; `fired` lists the units that fired in each step."""
    return {
        "x": rounded(frames.position[..., 0]),
        "y": rounded(frames.position[..., 1]),
        "health": rounded(frames.health),
        "shield": rounded(frames.shield),
        "target": frames.target.tolist(),
        "fired": [np.flatnonzero(step).tolist() for step in fired],
    }


def rounded(values: ArrayLike, digits: int = 2) -> list[Any]:
    """Numbers as short as they can be written: 5 rather than 5.0."""
    nested: list[Any] = np.vectorize(lambda x: int(x) if x == int(x) else x, otypes=[object])(
        np.round(np.asarray(values, np.float64), digits)
    ).tolist()
    return nested
