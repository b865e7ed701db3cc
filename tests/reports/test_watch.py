"""`mag watch`: recordings equal the played battles, and page and films show them."""

import json
import re
import shutil
import subprocess
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.algorithms.mag.algorithm import MAG
from mag.algorithms.registry import default_config
from mag.envs import smac_jax
from mag.envs.view import NOBODY
from mag.errors import PlayError, UsageError
from mag.learning.distributions import smooth_l1
from mag.play.testing import evaluation_keys, play_episodes
from mag.reports.diagnose import OBSERVED
from mag.reports.watch import film, watch
from mag.reports.watch.page import page
from mag.reports.watch.record import battles, outcome
from mag.runs.config_file import claim
from mag.runs.setup import set_up
from mag.runs.train import train
from tests.support import browser, dreamer, host_envs
from tests.support.fake import FOUR_STEPS, NAME, fake_config
from tests.support.fake_env import FAMILY, LIMIT

pytestmark = pytest.mark.usefixtures("compile_once")

DUEL = f"{FAMILY}/duel"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of two seeds, without a world model."""
    return trained(tmp_path_factory, NAME)


@pytest.fixture(scope="module")
def dreamt(tmp_path_factory):
    """A run folder of the same sizes, with a world model."""
    return trained(tmp_path_factory, dreamer.NAME)


def trained(tmp_path_factory, algo):
    path = tmp_path_factory.mktemp("runs") / "run"
    train(fake_config(algo, DUEL), path)
    return path


@pytest.fixture(scope="module")
def played():
    setup, state = set_up(fake_config(dreamer.NAME, DUEL))
    key = evaluation_keys(0, 2, 3)[0]
    return setup, state.learner, key, battles(setup.algorithm, setup.player.env, state.learner, key, 6)


def data_of(source):
    """The data inside a page."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', source, re.S).group(1))


def test_battles_are_those_that_evaluation_plays(played):
    setup, state, key, found = played
    agent = jax.tree.map(lambda x: x[0], setup.algorithm.agent(state))
    expected = play_episodes(key, setup.player.env, agent, 6)
    for index, battle in enumerate(found):
        for one, other in zip(battle.real.result, expected, strict=True):
            np.testing.assert_allclose(one, other[index], rtol=1e-6)
    assert len({int(battle.real.result.length) for battle in found}) > 1


def test_a_recording_goes_from_the_start_to_the_end(played):
    for battle in played[3]:
        length = int(battle.real.result.length)
        frames, steps = battle.real.frames, battle.real.arrivals
        assert len(frames.health) == len(steps.reward) == len(battle.fired) == length + 1
        np.testing.assert_allclose(frames.position[:, 0, 0], 1 + np.arange(length + 1))
        np.testing.assert_allclose(frames.health[:, 2], 0.1 * np.arange(length, -1, -1), atol=1e-6)
        np.testing.assert_allclose(steps.reward.sum(), battle.real.result.returns, rtol=1e-6)
        np.testing.assert_array_equal(steps.first, [True] + [False] * length)
        np.testing.assert_array_equal(steps.continues, [1] * length + [0])
        assert (steps.previous_action[0] == -1).all() and (steps.previous_action[1:] >= 0).all()
        assert outcome(battle) == ("won" if length > 3 else "lost")


def test_a_weapon_whose_cooldown_rose_was_fired(played):
    for battle in played[3]:
        # 0, 1, 0, 1, ...: it rises in every second step, beginning with the first; the others' never does.
        rises = np.arange(len(battle.fired)) % 2 == 1
        np.testing.assert_array_equal(battle.fired, np.stack([rises, np.zeros_like(rises), np.zeros_like(rises)], 1))


def test_the_imagined_battle_stands_still_where_its_end_is_expected(played):
    for battle in played[3]:
        frames = battle.imagined.frames
        time = np.minimum(np.arange(len(battle.fired)), 3)
        # The first ally is where the second, in its real place, sees it: 2 to the right and 2 up.
        np.testing.assert_allclose(frames.position[:, 0], np.stack([1 + time + 2, 6 + 0 * time], 1))
        np.testing.assert_array_equal(frames.target[:, 2], NOBODY)


@pytest.mark.parametrize("algo", [NAME, dreamer.NAME])
def test_battles_on_the_host_are_those_that_evaluation_plays(algo):
    setup, state = set_up(fake_config(algo, "tests.support.host_envs/seen"))
    key = evaluation_keys(0, 2, 3)
    found = battles(setup.algorithm, host_envs.make("seen"), state.learner, key[0], 3)
    expected = setup.player.test(key, setup.algorithm.agent(state.learner), 3)
    setup.player.close()
    for index, battle in enumerate(found):
        for one, other in zip(battle.real.result, expected, strict=True):
            np.testing.assert_array_equal(one, other[0][index])
        frames, steps = battle.real.frames, battle.real.arrivals
        np.testing.assert_array_equal(frames.position[:, 0, 0], [1, 2, 3, 4, 5, 6])
        np.testing.assert_array_equal(steps.continues, [1, 1, 1, 1, 1, 0])
        np.testing.assert_array_equal(steps.first, [True] + [False] * 5)
        assert (steps.obs[-1] == 0).all() and (battle.imagined is None) == (algo == NAME)


def test_an_environment_on_the_host_that_breaks_is_told(monkeypatch):
    setup, state = set_up(fake_config(NAME, "tests.support.host_envs/seen"))
    env = host_envs.make("seen")
    monkeypatch.setattr(env, "step", lambda action: 1 / 0)
    with pytest.raises(PlayError, match=r"seen failed while it was watched \(ZeroDivisionError: division by zero\)"):
        battles(setup.algorithm, env, state.learner, jax.random.key(0), 1)
    env.reset = lambda seed: env.show(np.nan)
    with pytest.raises(PlayError, match=r"seen failed while it was watched \(.*reward with the value nan"):
        battles(setup.algorithm, env, state.learner, jax.random.key(0), 1)


def test_the_limit_leaves_a_battle_undecided():
    (algorithm, player, _), state = set_up(fake_config(env=f"{FAMILY}/endless_duel"))
    (battle,) = battles(algorithm, player.env, state.learner, jax.random.key(0), 1)
    assert outcome(battle) == "undecided" and battle.imagined is None
    assert battle.real.result.length == LIMIT


def test_the_page_holds_the_battles_and_nothing_from_elsewhere(played):
    setup, _, _, found = played
    source = page(found, setup.player.env.view.scene, "</script>", "a & b")
    for foreign in ("http:", "https:", "src=", "href=", "import ", "url(", "fetch("):
        assert foreign not in source
    data = data_of(source)
    assert (data["title"], data["subtitle"]) == ("</script>", "a & b")
    assert data["scene"]["kinds"][0] == {"name": "zealot", "radius": 0.5, "health": 100, "shield": 50}
    for shown, battle in zip(data["battles"], found, strict=True):
        frames = battle.real.frames
        assert shown["length"] == battle.real.result.length == len(shown["reward"]) - 1
        assert shown["result"] == outcome(battle)
        assert shown["kind"] == [0, 0, 1]
        np.testing.assert_allclose(shown["real"]["x"], frames.position[..., 0])
        np.testing.assert_allclose(shown["real"]["health"], frames.health, atol=0.005)
        assert shown["real"]["shield"][0] == [50, 0.12, 0]
        assert shown["real"]["target"] == frames.target.tolist()
        assert shown["real"]["fired"][:2] == [[], [0]]
        imagined = shown["imagined"]
        assert imagined["error"][:3] == [0, 0.25, 0.5][: len(imagined["error"])]
        assert (imagined["observed"], imagined["end"]) == (OBSERVED, min(4, len(imagined["error"])))


def test_the_same_command_writes_the_same_page(run, tmp_path):
    out = tmp_path / "new folder" / "page.html"
    message = watch(run, 3, out)
    assert message.startswith(f"wrote {out}: 3 battles of {NAME} on {DUEL}, ") and "\n" not in message
    first = out.read_bytes()
    watch(run, 3, out)
    assert out.read_bytes() == first
    data = data_of(first.decode())
    assert len(data["battles"]) == 3 and data["battles"][0]["imagined"] is None
    watch(run, 1)
    assert data_of((run / "battles.html").read_text())["battles"] == data["battles"][:1]


@pytest.mark.parametrize(("name", "episodes"), [("run", 1), ("dreamt", 2)])
def test_a_gif_has_a_frame_for_every_moment(request, tmp_path, name, episodes):
    from PIL import Image

    out = tmp_path / "battles.gif"
    run = request.getfixturevalue(name)
    watch(run, episodes, out)
    watch(run, episodes, tmp_path / "page.html")
    lengths = [battle["length"] for battle in data_of((tmp_path / "page.html").read_text())["battles"]]
    with Image.open(out) as shown:
        assert shown.n_frames == sum(length + 1 for length in lengths)


def test_a_gifs_pictures_are_handed_on_as_they_are_drawn(run, tmp_path, monkeypatch):
    made, alive = [], []

    def watched(canvas, canvas_image=film.canvas_image):
        alive.append(sum(each() is not None for each in made))
        image = canvas_image(canvas)
        made.append(weakref.ref(image))
        return image

    monkeypatch.setattr(film, "canvas_image", watched)
    watch(run, 1, tmp_path / "battles.gif")
    # The first, whose `save` writes the others, and the latest one.
    assert len(made) > film.HOLD and max(alive) <= 2


def test_films_in_mp4_need_ffmpeg(run, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(UsageError, match=r"need the program ffmpeg; install it or write \.gif"):
        watch(run, 3, tmp_path / "battles.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg")
def test_films_in_mp4_are_written_where_there_is_ffmpeg(run, tmp_path):
    watch(run, 1, tmp_path / "battles.mp4")
    watch(run, 1, tmp_path / "page.html")
    (battle,) = data_of((tmp_path / "page.html").read_text())["battles"]
    (tmp_path / "pictures").mkdir()
    command = ["ffmpeg", "-loglevel", "error", "-i", tmp_path / "battles.mp4", tmp_path / "pictures" / "%d.png"]
    subprocess.run(command, check=True)
    # A picture for every moment, and the last one held.
    assert len(list((tmp_path / "pictures").iterdir())) == battle["length"] + film.HOLD


def test_environments_without_battles_are_refused(tmp_path):
    train(fake_config(steps=4), tmp_path / "run")
    message = (
        f"{FOUR_STEPS} has no battles to draw; of the package's families smac_jax, smaclite, smax and starcraft can"
    )
    with pytest.raises(UsageError, match=message):
        watch(tmp_path / "run", 3, tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_runs_without_a_checkpoint_are_refused(tmp_path):
    with claim(tmp_path, fake_config()):
        pass
    with pytest.raises(UsageError, match="has no checkpoint yet"):
        watch(tmp_path, 3)


@pytest.mark.parametrize("name", ["", "folder/file/page.html"])
def test_files_that_cannot_be_written_are_refused_before_anything_is_played(run, tmp_path, monkeypatch, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    (tmp_path / "folder.html").mkdir()
    out = tmp_path / (name or "folder.html")
    monkeypatch.setattr("mag.reports.watch.battles", lambda *_: pytest.fail("played"))
    with pytest.raises(UsageError, match=rf"cannot write {re.escape(str(out))} \(.*; choose another file with --out"):
        watch(run, 3, out)


@pytest.mark.slow
@pytest.mark.skipif(browser.find() is None, reason="there is no Chromium")
def test_a_browser_plays_the_page_from_disk(run, dreamt, tmp_path):
    plain, imagined = tmp_path / "plain.html", tmp_path / "imagined.html"
    watch(run, 3, plain)
    watch(dreamt, 3, imagined)
    shown = data_of(imagined.read_text())["battles"]
    with browser.Browser(tmp_path / "profile") as tab:
        tab.open(plain.as_uri())
        assert tab.evaluate("document.getElementById('imagined-card').hidden") is True
        tab.open(imagined.as_uri())
        assert tab.evaluate("document.getElementById('imagined-card').hidden") is False
        for index, battle in enumerate(shown):
            tab.evaluate(f"choose({index})")
            plays(tab, battle)
        longest = max(range(len(shown)), key=lambda index: shown[index]["length"])
        tab.evaluate(f"choose({longest})")
        steps(tab, shown[longest]["length"])
        assert len(set(tab.requests()) - {"about:blank"}) == 2
        assert all(url.startswith("file:") for url in set(tab.requests()) - {"about:blank"})
        assert tab.exceptions() == []


def plays(tab, battle):
    """A battle is played from its start to its recorded end at a click."""
    length = battle["length"]
    assert (tab.text("step"), tab.text("result"), tab.text("play")) == (f"0 of {length}", "", "Play")
    assert (tab.text("allies"), tab.text("enemies")) == ("2 of 2", "1 of 1")
    drawn = canvas_content(tab, "real")
    tab.evaluate("document.getElementById('speed').value = 4")
    tab.click("play")
    assert tab.text("play") == "Pause"
    tab.wait_for("state.time > 0.5")
    assert canvas_content(tab, "real") != drawn
    tab.wait_for("!state.playing")
    assert (tab.text("step"), tab.text("play")) == (f"{length} of {length}", "Replay")
    assert tab.text("result") == {"won": "Won", "lost": "Lost"}[battle["result"]]
    assert tab.text("reward") == f"{sum(battle['reward']):.2f}"
    assert (tab.text("allies"), tab.text("enemies")) == ("2 of 2", "0 of 1")
    assert "end at step 4" in tab.text("imagined-note") or length < OBSERVED


def steps(tab, length):
    """Keys, buttons, the slider's place and the curves move one and the same cursor."""
    assert length > 4
    for move, step in [
        (lambda: tab.press("ArrowRight"), 1),
        (lambda: tab.click("forward"), 2),
        (lambda: tab.press("ArrowLeft"), 1),
        (lambda: tab.press("End"), length),
        (lambda: tab.click("back"), length - 1),
        (lambda: tab.press("Home"), 0),
        (lambda: tab.click("error", across=0.97), length),
        (lambda: tab.click("rewards", across=0.09), 0),
    ]:
        move()
        assert tab.text("step") == f"{step} of {length}"
        assert tab.evaluate("Number(document.getElementById('slider').value)") == step
    tab.press(" ")
    assert tab.evaluate("state.playing") is True
    tab.press(" ")
    assert tab.evaluate("state.playing") is False


def canvas_content(tab, canvas):
    """The content of a canvas."""
    return tab.evaluate(f"document.getElementById('{canvas}').toDataURL()")


@pytest.mark.slow
def test_models_imagine_real_battles():
    env = smac_jax.make("3s_vs_3z", episode_limit=8)
    algorithm = MAG(default_config("mag", "smac_jax/3s_vs_3z", "debug", "tuned"), env.spec)
    state = algorithm.init(jax.random.key(0)[None])
    (battle,) = battles(algorithm, env, state, jax.random.key(1), 1)
    frames, prediction = battle.imagined
    assert battle.real.frames.position.shape == frames.position.shape == (9, 6, 2)
    decoded = jnp.asarray(prediction.obs - battle.real.arrivals.obs)
    np.testing.assert_allclose(prediction.error, smooth_l1(decoded).sum(-1).mean(-1), rtol=1e-5)
    assert all(np.isfinite(each).all() for each in jax.tree.leaves((frames, prediction)))
    assert data_of(page([battle], env.view.scene, "", ""))["battles"][0]["result"] == "undecided"
