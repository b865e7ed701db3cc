"""The client against the stand-in, started as the game is: launch, faults, and nothing left behind."""

import os
import socket
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from mag import envs
from mag.envs import starcraft
from mag.envs.smac_jax.loading import content_of, get_map
from mag.envs.starcraft import client
from mag.envs.starcraft.client import Game, GameError
from mag.envs.starcraft.install import find_game, find_map
from mag.errors import UsageError
from tests.support.starcraft_server import install, launches, set_faults


@pytest.fixture
def game_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(tmp_path))
    return install(tmp_path, "3s_vs_3z")


def is_gone(pid):
    """Whether a process has ended, soon."""
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_game_starts_answers_and_ends(game_folder):
    game = Game(find_game())
    assert game.request("ping").game_version.startswith("4.10")
    pid, folder = game.pid, game._folder
    game.close()
    assert launches(game_folder) == [pid] and is_gone(pid) and not folder.exists()


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"crash_at": 2}, r"the game ended during step \(exit code 3\)"),
        pytest.param({"hang_at": 2}, r"the game did not answer step within 1 s", marks=pytest.mark.slow),
        pytest.param(
            {"error_at": 2}, r"the game answered step with an error: the match was lost", marks=pytest.mark.slow
        ),
        pytest.param({"garbage_at": 2}, r"the game's answer to step cannot be read", marks=pytest.mark.slow),
    ],
)
def test_a_fault_is_told_and_the_next_episode_is_played_by_another_game(game_folder, faults, message):
    set_faults(game_folder, launches=1, **faults)
    env = starcraft.make("3s_vs_3z")
    env.reset(0)
    stop = np.ones(3, int)
    env.step(stop)  # the stand-in compiles
    env.game._step_seconds = 1.0 if "hang_at" in faults else 60.0
    with pytest.raises(GameError, match=message):
        env.step(stop)
    with pytest.raises(GameError, match="no game is under way"):
        env.step(stop)
    assert env.reset(1).first and not env.step(stop).first
    first, second = launches(game_folder)
    assert is_gone(first)
    env.close()
    assert is_gone(second)


def test_a_game_that_dies_while_starting_is_told_with_its_last_output(game_folder):
    set_faults(game_folder, die_starting=True)
    with pytest.raises(GameError, match=r"ended while it started \(exit code 1, its last output: the licen.*3 tries"):
        Game(find_game())
    assert len(launches(game_folder)) == 3


def test_a_game_that_starts_too_slowly_is_told(game_folder):
    set_faults(game_folder, sleep_starting=60.0)
    begin = time.monotonic()
    with pytest.raises(GameError, match="did not start in time"):
        Game(find_game(), start_seconds=2.0)
    assert time.monotonic() - begin < 5  # in all its tries
    assert all(is_gone(pid) for pid in launches(game_folder))


def test_a_port_that_is_taken_is_left_for_another(game_folder, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        free = client._free_port
        ports = iter([other.getsockname()[1]])
        monkeypatch.setattr(client, "_free_port", lambda: next(ports, None) or free())
        game = Game(find_game(), start_seconds=20.0)
        assert len(launches(game_folder)) == 2
        game.close()


def test_a_map_that_the_game_refuses_is_told(game_folder):
    set_faults(game_folder, refuse_map=True)
    with pytest.raises(GameError, match=r"refused create_game \(InvalidMapData: the map cannot be read\)"):
        starcraft.make("3s_vs_3z").reset(0)
    assert all(is_gone(pid) for pid in launches(game_folder))


def test_the_game_ends_with_a_client_that_is_killed(game_folder):
    code = (
        "import time\nfrom mag.envs.starcraft.client import Game\nfrom mag.envs.starcraft.install import find_game\n"
        "game = Game(find_game())\nprint(game.pid, flush=True)\ntime.sleep(60)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ)
    assert killed.stdout is not None
    pid = int(killed.stdout.readline())
    killed.kill()
    killed.wait()
    killed.stdout.close()
    assert is_gone(pid)


def test_a_replay_is_saved_where_one_is_asked_for(game_folder, tmp_path):
    content = {"starcraft": {"replays": str(tmp_path / "replays")}} | content_of(get_map("3s_vs_3z"))
    env = starcraft.make_from_content("3s_vs_3z", content)
    env.reset(0)
    env.close()
    assert [path.read_bytes() for path in (tmp_path / "replays").glob("3s_vs_3z-*.SC2Replay")] == [b"a replay"]


def test_a_missing_game_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"StarCraft II is missing: SC2PATH is .*nowhere, which is not a folder"):
        find_game()
    monkeypatch.setenv("SC2PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"there is no Versions/Base\*/SC2_x64 in"):
        find_game()


def test_versions_are_chosen_by_name_or_build(tmp_path, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(tmp_path))
    install(tmp_path, build=69232)
    install(tmp_path, build=90000)
    # Without 4.10 the newest.
    assert find_game().version == "Base90000"
    assert find_game("4.6.2").version == "4.6.2 (Base69232)" and find_game("90000").build == 90000
    with pytest.raises(UsageError, match=r"4\.10 is not installed .* there is 4\.6\.2 \(Base69232\), Base90000"):
        find_game("4.10")
    install(tmp_path)
    assert find_game().version == "4.10 (Base75689)"


def test_a_version_that_nobody_asked_for_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(tmp_path))
    install(tmp_path, build=69232)
    assert envs.caution("starcraft/3s_vs_3z") == (
        "starcraft/3s_vs_3z is played on StarCraft II 4.6.2 (Base69232), but published results are of 4.10, whose "
        "units differ in speed, damage and cost: win rates are not comparable; unpack Blizzard's Linux package of "
        "version 4.10 and set SC2PATH to its folder StarCraftII"
    )
    asked = {"starcraft": {"version": "4.6.2"}} | content_of(get_map("3s_vs_3z"))
    assert envs.caution("starcraft/3s_vs_3z", asked) is None
    install(tmp_path)
    assert envs.caution("starcraft/3s_vs_3z") is None and envs.caution("smac_jax/3s_vs_3z") is None


def test_a_missing_map_is_told_with_those_there_are(game_folder):
    assert find_map(game_folder, "3s_vs_3z").is_file()
    with pytest.raises(UsageError, match=r"2s3z\.SC2Map is missing \(the folder has 3s_vs_3z\)"):
        find_map(game_folder, "2s3z")
    with pytest.raises(UsageError, match=r"corridor\.SC2Map is missing"):
        starcraft.make("corridor")


def test_a_run_notes_the_game_and_the_map(game_folder):
    noted = starcraft.notes("3s_vs_3z", None)
    assert noted["version"] == "4.10 (Base75689)" and noted["difficulty"] == "VeryHard"
    find_map(game_folder, "3s_vs_3z").write_bytes(b"another map")
    assert starcraft.notes("3s_vs_3z", None)["map_digest"] != noted["map_digest"]
