"""Battles as a film, one after the other: what the page shows, without its controls."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mag.envs.view import NOBODY, Frame, Rectangle, Scene
from mag.reports.diagnose import OBSERVED
from mag.reports.watch.record import Battle, imagined_end, outcome

FRAMES_PER_SECOND = 8
HOLD = 8
"""Frames for which the last step of a battle is shown."""
ALLY, ENEMY, SHIELD, HEALTH, IMAGINED, GREY = "#1f6feb", "#d9580b", "#28a8c7", "#2f9e44", "#8250df", "#667085"
OPEN, CLOSED = "#eef1ea", "#c9ced6"
MARGIN = 2.0
"""Width of the ground shown around the units' positions, in map units."""
BORDERS = {"left": 0.06, "right": 0.99, "bottom": 0.06, "top": 0.88, "wspace": 0.03, "hspace": 0.08}
"""Borders of the figure, fixed because computing a layout for each frame would take longer than drawing it."""
SHAPE = 0.75
"""Ratio of a picture's height to its width."""


def write_film(out: Path, battles: list[Battle], scene: Scene, title: str) -> None:
    """Write a GIF, or a film by ffmpeg if the file name ends in .mp4: a frame for each step of each battle.

    Frames are written as they are drawn; a GIF's writer keeps all frames in memory until the end, a byte per pixel.
    """
    from matplotlib.animation import FFMpegWriter
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    imagines = any(battle.imagined is not None for battle in battles)
    figure = Figure(figsize=(9.6, 5.4) if imagines else (6.4, 5.4), dpi=80)
    frames = redraw(figure, battles, scene, title)
    if out.suffix.lower() == ".mp4":
        writer = FFMpegWriter(fps=FRAMES_PER_SECOND)
        with writer.saving(figure, out, dpi=figure.dpi):
            for _ in frames:
                writer.grab_frame()
    else:
        canvas = FigureCanvasAgg(figure)
        pictures = (canvas_image(canvas) for _ in frames)
        duration = 1000 // FRAMES_PER_SECOND
        next(pictures).save(out, save_all=True, append_images=pictures, duration=duration, loop=0)


def redraw(figure: Any, battles: list[Battle], scene: Scene, title: str) -> Iterator[None]:
    """Draw one step after the other; the figure shows a step until the next one is requested."""
    for number, battle in enumerate(battles, 1):
        name = f"{title}: battle {number} of {len(battles)}"
        last = len(battle.fired) - 1
        for time in [*range(last), *[last] * HOLD]:
            figure.clear()
            draw(figure, battle, scene, time, name)
            yield


def canvas_image(canvas: Any) -> Any:
    """The content of a canvas as a Pillow image."""
    from PIL import Image

    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def draw(figure: Any, battle: Battle, scene: Scene, time: int, title: str) -> None:
    """One step: the battle, beside it the imagined battle if there is one, and below them a curve."""
    real, imagined = battle.real, battle.imagined
    named = {"real": real.frames} if imagined is None else {"real": real.frames, "imagined": imagined.frames}
    places = [list(named), ["curve"] * len(named)]
    axes = figure.subplot_mosaic(places, height_ratios=[4, 1], gridspec_kw=BORDERS)
    box = camera(battle)
    for name, frames in named.items():
        is_real = name == "real"
        draw_ground(axes[name], scene, box)
        draw_units(axes[name], scene, frame_at(frames, time), battle.fired[time] & is_real)
        if is_real:
            draw_dead(axes[name], scene, frame_at(frames, time))
        axes[name].set_title(name if is_real else imagination(battle, time), fontsize=10)
    if imagined is None:
        curve = np.cumsum(real.arrivals.rewards.mean(-1))
        axes["curve"].plot(curve, color=GREY)
        axes["curve"].set_ylabel("reward so far", fontsize=8)
    else:
        axes["curve"].plot(imagined.prediction.error, color=IMAGINED, label="imagined")
        axes["curve"].plot(imagined.prediction.one_step, color=GREY, linestyle="--", label="one step ahead")
        axes["curve"].set_ylabel("error", fontsize=8)
        axes["curve"].legend(fontsize=7, loc="upper left", frameon=False)
    axes["curve"].axvline(time, color=ALLY, linewidth=1)
    axes["curve"].tick_params(labelsize=7)
    last = len(battle.fired) - 1
    end = f", {outcome(battle)}" if time == last else ""
    reward = real.arrivals.rewards.mean(-1)[: time + 1].sum()
    figure.suptitle(f"{title}, step {time} of {last}, reward {reward:.2f}{end}", fontsize=10)


def imagination(battle: Battle, time: int) -> str:
    """The imagined battle's title: how many steps ago the models observed last, or where they expect the end."""
    assert battle.imagined is not None
    end = int(imagined_end(battle.imagined.prediction))
    if time < OBSERVED:
        return "imagined: observing"
    return f"imagined: end expected at step {end}" if time >= end else f"imagined for {time - OBSERVED + 1} steps"


def camera(battle: Battle) -> Rectangle:
    """The part of the map shown throughout the battle: all positions of real units, widened to a picture's shape."""
    frames = battle.real.frames
    places = frames.position[frames.health > 0]
    low, high = places.min(0) - MARGIN, places.max(0) + MARGIN
    width, height = high - low
    half = np.array([max(width, height / SHAPE), max(width * SHAPE, height)]) / 2
    middle = (low + high) / 2
    left, bottom, right, top = np.concatenate([middle - half, middle + half]).tolist()
    return left, bottom, right, top


def frame_at(frames: Frame, time: int) -> Frame:
    """The frame of one step."""
    return Frame(*(each[time] for each in frames))


def draw_ground(axes: Any, scene: Scene, box: Rectangle) -> None:
    """The part of the map that is shown: open ground, walls and cliffs."""
    from matplotlib.patches import Rectangle as Patch

    everything = (0.0, 0.0, scene.width, scene.height)
    for rectangles, colour, hatch in (
        ((everything,), OPEN, None),
        (scene.walls, CLOSED, None),
        (scene.cliffs, CLOSED, "//"),
    ):
        for left, bottom, right, top in rectangles:
            size = (right - left, top - bottom)
            axes.add_patch(
                Patch((left, bottom), *size, facecolor=colour, edgecolor="#9aa2ad", hatch=hatch, linewidth=0)
            )
    left, bottom, right, top = box
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xticks=[], yticks=[], facecolor=CLOSED)


def draw_units(axes: Any, scene: Scene, frame: Frame, fired: np.ndarray) -> None:
    """Units as discs with bars, and lines to the units they attack (thick where a shot was fired)."""
    from matplotlib.collections import EllipseCollection, LineCollection

    kinds = [scene.kinds[kind] for kind in frame.kind]
    radius = np.array([kind.radius for kind in kinds])
    colour = colours(frame, scene)
    alive, place = frame.health > 0, frame.position
    aims = alive & (frame.target != NOBODY)
    lines = np.stack([place[aims], place[frame.target[aims]]], axis=1)
    widths = np.where(fired[aims], 1.8, 0.5)
    axes.add_collection(LineCollection(list(lines), colors=colour[aims], linewidths=widths, alpha=0.7))
    size = 2 * radius[alive]
    axes.add_collection(
        EllipseCollection(
            size, size, np.zeros_like(size), units="xy", offsets=place[alive], offset_transform=axes.transData,
            facecolors=colour[alive], edgecolors="white", linewidths=0.5,
        )
    )  # fmt: skip
    full = np.array([(kind.health, max(kind.shield, 1.0)) for kind in kinds])
    for points, most, bar, height in (
        (frame.health, full[:, 0], HEALTH, 1.25),
        (frame.shield, full[:, 1], SHIELD, 1.6),
    ):
        share, shown = points / most, alive & (points > 0)
        start = place + np.stack([-radius, height * radius + 0.1], axis=1)
        end = start + np.stack([2 * radius * share, np.zeros_like(radius)], axis=1)
        axes.add_collection(LineCollection(list(np.stack([start, end], axis=1)[shown]), colors=bar, linewidths=2))


def draw_dead(axes: Any, scene: Scene, frame: Frame) -> None:
    """Crosses where units fell."""
    dead = frame.health <= 0
    axes.scatter(*frame.position[dead].T, color=colours(frame, scene)[dead], marker="x", s=16, alpha=0.4, linewidths=1)


def colours(frame: Frame, scene: Scene) -> np.ndarray:
    """The colour of each unit, which is that of its side."""
    return np.where(np.arange(len(frame.kind)) < scene.allies, ALLY, ENEMY)
