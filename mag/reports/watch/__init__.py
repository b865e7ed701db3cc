"""`mag watch`: battles of a trained run, to be looked at in a browser or as a film."""

import shutil
from pathlib import Path
from typing import Any

from mag import envs
from mag.envs.host import HostEnv
from mag.envs.view import FAMILIES
from mag.errors import UsageError
from mag.play.jax_player import JaxPlayer
from mag.play.testing import evaluation_keys
from mag.reports.watch.film import write_film
from mag.reports.watch.page import page
from mag.reports.watch.record import battles, outcome
from mag.runs import zoo
from mag.runs.folder import check_writable
from mag.runs.trained import Trained, load_run

ENDINGS = (".html", ".gif", ".mp4")


def watch(path: Path, episodes: int, out: Path | None = None) -> str:
    """Write the first `episodes` test battles of a run's first seed to `out`, by default its `battles.html`.

    `mag evaluate` plays the same battles, and the same command writes the same file. Returns a sentence that says what
    was written. Raises UsageError where there is nothing to watch or the file cannot be written.
    """
    if out is not None:
        check_ending(out)
    run = load_run(path)
    out = usual_place(path) if out is None else out
    config = run.config
    env = environment(run, path)
    try:
        view = view_of(config.env, env)
        check_writable(out)
        key = evaluation_keys(config.seed, config.num_seeds, run.progress.iteration)[0]
        played = battles(run.algorithm, env, run.state.learner, key, episodes)
        scene = view.scene
    finally:
        if isinstance(env, HostEnv):
            env.close()
    title = f"{config.algo} on {config.env}"
    subtitle = f"seed {config.seed} after {run.progress.env_steps[0]} environment steps, playing greedily"
    if out.suffix.lower() == ".html":
        out.write_text(page(played, scene, title, subtitle), encoding="utf-8")
    else:
        write_film(out, played, scene, title)
    won = sum(outcome(battle) == "won" for battle in played)
    return " ".join(
        [*run.warnings, f"wrote {out}: {episodes} {'battle' if episodes == 1 else 'battles'} of {title}, {won} won"]
    )


def usual_place(path: Path) -> Path:
    """The run folder's `battles.html`; for an entry of the zoo, which is not a folder, a file in the current folder."""
    return Path(f"{path.name}-battles.html") if zoo.is_entry(path) else path / "battles.html"


def environment(run: Trained, path: Path) -> Any:
    """The environment in which a run was trained; a host environment is made in this process."""
    if isinstance(run.player, JaxPlayer):
        return run.player.env
    return envs.make(run.config.env, zoo.map_at(path), nearest_first=run.config.collect.nearest_first)


def view_of(name: str, env: Any) -> Any:
    """The view of an environment. Raises UsageError where it has none."""
    view = getattr(env, "view", None)
    if view is None:
        *families, last = FAMILIES
        raise UsageError(
            f"{name} has no battles to draw; of the package's families {', '.join(families)} and {last} can be "
            "watched, and environments of your own that have a `view` (`mag.envs.view`)"
        )
    return view


def check_ending(out: Path) -> None:
    """Raise UsageError where the file's ending is unknown, or needs a program that is missing here."""
    if out.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"--out is {out}, whose ending does not say what to write; let its name end in one of {', '.join(ENDINGS)}"
        )
    if out.suffix.lower() == ".mp4" and shutil.which("ffmpeg") is None:
        raise UsageError(f"--out is {out}, but films of that kind need the program ffmpeg; install it or write .gif")
