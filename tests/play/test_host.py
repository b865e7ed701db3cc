"""The player on the host: the items of the player in JAX, whatever happens to its processes."""

import gc
import os
import re
import signal
import subprocess
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import psutil
import pytest

from mag import envs
from mag.envs.host import record_type
from mag.errors import PlayError
from mag.learning.parallel import seed_keys
from mag.play.ahead import AHEAD, AheadPlayer
from mag.play.host import HostPlayer, episode_seed
from mag.play.host_config import HostConfig
from mag.play.host_items import _recorded
from mag.play.jax_player import JaxPlayer
from mag.play.seats import resident
from tests.support import host_envs

SEEDS, ENVS, STEPS = 2, 3, 9
QUICK = HostConfig(step_seconds=3.0, start_seconds=60.0)
"""Ends a wait for a process that hangs soon, but not for one that a busy machine keeps waiting."""


class Dicer(eqx.Module):
    """Throws dice, and adds how long it has played (a carry) and a number of its own."""

    number: jax.Array

    def initial_carry(self, key):
        del key
        return jnp.asarray(77)  # shows where the first time step does not reset it

    def act(self, key, carry, timestep, *, greedy):
        time = jnp.where(timestep.first, 0, carry)
        dice = jax.random.randint(key, (2,), 0, 3)
        return (time + self.number + jnp.where(greedy, 0, dice)) % timestep.avail.shape[-1], time + 1


AGENT = Dicer(jnp.arange(SEEDS))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where environments leave their traces; no process may be left in the end."""
    monkeypatch.setenv("HOST_ENVS", str(tmp_path))
    yield tmp_path
    left = [pid for pid in pids(tmp_path) if psutil.pid_exists(pid)]
    assert left == []


def test_a_dead_agent_is_stored_as_observing_nothing():
    spec = host_envs.spec_of("archers")
    shown = np.zeros((1, 3), record_type(spec))
    shown["obs"], shown["alive"] = 1, True
    shown["alive"][0, 1, 0] = False
    nothing = np.zeros((1, 3), np.int32)
    actions, returns = np.zeros((1, 3, spec.n_agents), np.int32), np.zeros((1, 3), np.float32)
    arrivals, *_ = _recorded(shown, actions, nothing, returns, nothing)
    assert (arrivals.obs[0, 1, 0] == 0).all()
    assert (np.delete(arrivals.obs.reshape(-1, spec.obs_dim), spec.n_agents, 0) == 1).all()


def pids(folder):
    log = folder / "log"
    return sorted({int(line.split()[0]) for line in log.read_text().splitlines()}) if log.exists() else []


@pytest.fixture
def make():
    players = []

    def make(name, num_seeds=1, num_envs=1, steps=STEPS, config=QUICK, **options):
        player = HostPlayer(
            host_envs.spec_of(name), num_seeds=num_seeds, num_envs=num_envs, steps=steps, config=config, **options
        )
        players.append(player)
        return player

    yield make
    for player in players:
        player.close()


def play(player, agent, times, seed=0):
    """All that is played in a few calls."""
    keys = seed_keys(seed, player.num_seeds)
    players, parts = player.start(keys, agent), []
    for part in range(times):
        players, played = player.collect(jax.vmap(lambda key: jax.random.fold_in(key, part))(keys), agent, players)  # noqa: B023
        parts.append(jax.tree.map(np.asarray, played))
    return parts


def same(one, other):
    for path, leaf in jax.tree_util.tree_leaves_with_path(one):
        twin = dict(jax.tree_util.tree_leaves_with_path(other))[path]
        assert leaf.dtype == twin.dtype, path
        np.testing.assert_array_equal(leaf, twin, err_msg=str(path))


@pytest.mark.parametrize("name", host_envs.TASKS)
def test_items_are_those_of_the_player_in_jax(make, name):
    twin = JaxPlayer(envs.make(f"probe/{name}"), num_seeds=SEEDS, num_envs=ENVS, steps=STEPS)
    player = make(name, SEEDS, ENVS)
    same(play(player, AGENT, 3), play(twin, AGENT, 3))
    keys = seed_keys(5, SEEDS)
    same(player.test(keys, AGENT, 7), jax.tree.map(np.asarray, twin.test(keys, AGENT, 7)))
    # Fewer episodes than environments, and more again.
    same(player.test(keys, AGENT, 2), jax.tree.map(np.asarray, twin.test(keys, AGENT, 2)))
    same(player.test(keys, AGENT, 7), jax.tree.map(np.asarray, twin.test(keys, AGENT, 7)))
    assert {name: list(values) for name, values in player.metrics().items()} == {
        "play/restarts": [0, 0],
        "play/dropped_episodes": [0, 0],
    }


def test_items_whose_time_limit_ends_are_those_of_the_player_in_jax(make):
    twin = JaxPlayer(envs.make("probe/clock"), num_seeds=SEEDS, num_envs=ENVS, steps=STEPS, limit_ends=True)
    parts = play(make("clock", SEEDS, ENVS, limit_ends=True), AGENT, 3)
    same(parts, play(twin, AGENT, 3))
    assert any((part.arrivals.continues == 0).any() for part in parts)


def test_tests_do_not_touch_the_episodes_under_way(make):
    one, other = make("counter"), make("counter")
    agent = Dicer(jnp.zeros(1, int))
    keys = seed_keys(0, 1)
    players = one.start(keys, agent)
    parts = []
    for part in range(2):
        players, played = one.collect(jax.vmap(lambda key: jax.random.fold_in(key, part))(keys), agent, players)  # noqa: B023
        parts.append(jax.tree.map(np.asarray, played))
        one.test(keys, agent, 2)
    same(parts, play(other, agent, 2))


def test_workers_know_nothing_of_jax_and_close_their_environments(make, folder):
    player = make("counter")
    play(player, Dicer(jnp.zeros(1, int)), 1)
    player.close()
    lines = (folder / "log").read_text().splitlines()
    assert lines[0].split()[1] == "made" and lines[-1].split()[1] == "closed"
    assert all(line.endswith("False") for line in lines)


def test_every_episode_has_a_seed_of_its_own(make, folder):
    player = make("counter", SEEDS, ENVS)
    play(player, AGENT, 2)
    player.test(seed_keys(0, SEEDS), AGENT, 4)
    seeds = [line.split()[2] for line in (folder / "log").read_text().splitlines() if "reset" in line]
    # 18 items are two whole episodes of 7 items and a third under way, of 6 environments; and 2 * 4 tests.
    assert len(seeds) == len(set(seeds)) == 3 * 6 + 8
    entropy = np.array([0, 7], np.uint32)
    assert episode_seed(entropy, 0, 1, 2) == episode_seed(entropy, 0, 1, 2) != episode_seed(entropy, 1, 1, 2)


@pytest.mark.parametrize("fault", ["crash-once", "raise-once", "hang-once"])
def test_a_broken_episode_is_dropped_and_the_rest_is_whole(make, fault):
    player = make(fault, num_envs=2, steps=16)
    (played,) = play(player, Dicer(jnp.zeros(1, int)), 1)
    assert player.metrics()["play/dropped_episodes"] == [1] and player.metrics()["play/restarts"] == [1]
    first, reward = played.arrivals.first[0], played.arrivals.reward[0]
    # Episodes of 7 items follow one another without a gap: the second, which broke, was played again.
    np.testing.assert_array_equal(first, [[item % 7 == 0 for item in range(16)]] * 2)
    for env in range(2):
        for item in range(16):
            place, action = item % 7, played.arrivals.previous_action[0, env, item]
            # counter pays time + a / 4 + b / 16
            expected = place - 1 + action[0] / 4 + action[1] / 16 if 1 <= place <= 5 else 0
            assert reward[env, item] == expected
    assert played.episodes.ended.sum() == 4 and (played.episodes.length[played.episodes.ended] == 5).all()


def test_what_an_earlier_call_handed_on_stands_and_is_followed_by_a_start(make):
    player = make("crash-once", steps=8)
    one, other = play(player, Dicer(jnp.zeros(1, int)), 2)
    # The second episode starts with the eighth item and breaks at its second step, which the second call plays.
    assert one.arrivals.first[0, 0].tolist() == other.arrivals.first[0, 0].tolist() == [True] + 6 * [False] + [True]
    assert not one.last.first[0, 0] and not other.transitions[0, 0, 0] and other.arrivals.continues[0, 0, 0] == 1


def test_a_broken_test_episode_is_played_again(make):
    player = make("crash-once")
    agent = Dicer(jnp.zeros(1, int))
    results = player.test(seed_keys(0, 1), agent, 3)
    assert results.ended.all() and (results.length == 5).all() and player.metrics()["play/restarts"] == [1]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "crash",
            r"failed 2 times in a row, the last time because its process ended with exit code 7; its last output: ",
        ),
        ("raise", r"failed 2 times in a row, the last time because ValueError: the pathfinder is lost"),
        ("hang", r"failed 2 times in a row, the last time because it played no step within 1 s"),
        ("die-making", r"failed 2 times in a row, .* ended with exit code 9; its last output: no licence"),
        ("hang-making", r"failed 2 times in a row, the last time because it was not made within 2 s"),
        ("nan", r"shows obs with the value nan; all have to be finite numbers"),
        ("shape", r"shows obs as float32\[2, 13\]; its spec says float32\[2, 14\]"),
        ("dtype", r"shows alive as float64\[2\]; its spec says bool\[2\]"),
        ("unavailable", r"leaves agent 1 without an available action"),
        ("not-first", r"shows a time step that is `first` after an action"),
        ("both", r"shows a time step that is both `terminated` and `truncated`"),
        ("other-spec", r"has another spec than its family tells: EnvSpec\(.*obs_dim=28.*obs_dim=14"),
        ("endless", r"goes on after its episode_limit of 5 steps; it has to be `truncated` there"),
        ("refuse", r"the game is not installed; install it"),
    ],
)
def test_what_no_restart_mends_is_told_in_a_sentence(make, fault, message):
    config = HostConfig(step_seconds=1.0, start_seconds=2.0 if fault == "hang-making" else 20.0, failures=2)
    player = make(fault, config=config, steps=40)
    with pytest.raises(PlayError, match=message) as raised:
        play(player, Dicer(jnp.zeros(1, int)), 1)
    assert "\n" not in str(raised.value)


def test_a_player_goes_on_after_an_error(make):
    player = make("raise", config=HostConfig(failures=1), steps=40)
    agent = Dicer(jnp.zeros(1, int))
    for _ in range(2):
        with pytest.raises(PlayError, match="failed 1 times"):
            play(player, agent, 1)


def test_processes_are_replaced_after_their_episodes(make, folder):
    player = make("counter", config=HostConfig(episodes_per_process=2), steps=40)
    agent = Dicer(jnp.zeros(1, int))
    twin = make("counter", steps=40)
    same(play(player, agent, 1), play(twin, agent, 1))
    # 40 items are 5 whole episodes and a sixth under way; two in each process.
    assert player.metrics()["play/restarts"] == [2] and player.metrics()["play/dropped_episodes"] == [0]
    twin.close()
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    closed = [line[0] for line in lines if line[1] == "closed"]
    assert len(closed) == 3


def test_a_process_that_takes_too_much_memory_is_replaced_at_the_end_of_its_episode(make):
    player = make("leak-once", config=HostConfig(memory=0.2), steps=24)
    play(player, Dicer(jnp.zeros(1, int)), 1)
    assert player.metrics()["play/restarts"] == [1] and player.metrics()["play/dropped_episodes"] == [0]
    assert resident(os.getpid()) > 2**25 and resident(2**22 + 1) == 0


def test_a_process_that_takes_too_much_memory_within_an_episode_is_replaced(make, monkeypatch):
    # Its seventh step, the second of the second episode, loses 320 MB; the eighth is not played.
    monkeypatch.setattr("mag.play.seats.LOOK_EVERY", 4)
    player = make("leak-once", config=HostConfig(memory=0.2), steps=24)
    (played,) = play(player, Dicer(jnp.zeros(1, int)), 1)
    assert player.metrics()["play/restarts"] == [1] and player.metrics()["play/dropped_episodes"] == [1]
    np.testing.assert_array_equal(played.arrivals.first[0], [[item % 7 == 0 for item in range(24)]])


def test_an_environment_that_does_not_close_is_ended(make, monkeypatch):
    monkeypatch.setattr("mag.play.seats.CLOSE_SECONDS", 0.5)
    player = make("slow-close")
    play(player, Dicer(jnp.zeros(1, int)), 1)
    begin = time.monotonic()
    player.close()
    assert time.monotonic() - begin < 10


def test_a_player_that_resumes_begins_new_episodes_and_says_so(make, folder):
    agent, keys = Dicer(jnp.zeros(1, int)), seed_keys(0, 1)
    player = make("counter", say=lambda line: pytest.fail(line))
    players, _ = player.collect(keys, agent, player.start(keys, agent))
    player.close()
    said = []
    other = make("counter", say=said.append)
    _, played = other.collect(keys, agent, players)
    assert said == [
        "the episodes of tests.support.host_envs/counter that were under way could not be saved: in their "
        "place 1 new ones begin"
    ]
    assert played.arrivals.first[0, 0, 0]
    # Its episodes are not those that were played before.
    seeds = [line.split()[2] for line in (folder / "log").read_text().splitlines() if "reset" in line]
    assert len(set(seeds)) == len(seeds) == 4


def test_a_process_that_is_killed_costs_its_episode(make, folder):
    player, agent, keys = make("counter"), Dicer(jnp.zeros(1, int)), seed_keys(0, 1)
    players, _ = player.collect(keys, agent, player.start(keys, agent))
    os.kill(pids(folder)[0], signal.SIGKILL)
    _, played = player.collect(keys, agent, players)
    assert played.arrivals.first[0, 0, 0] and player.metrics()["play/dropped_episodes"] == [1]


def test_what_is_played_ahead_is_what_the_agent_of_then_plays(make):
    ahead, twin = AheadPlayer(make("counter", num_envs=2)), make("counter", num_envs=2)
    keys, agents = seed_keys(0, 1), [Dicer(jnp.full(1, number)) for number in range(3)]
    players, seen = ahead.start(keys, agents[0]), []
    for part, agent in enumerate(agents):
        own = jax.vmap(lambda key: jax.random.fold_in(key, part))(keys)  # noqa: B023
        players, played = ahead.collect(own, agent, players)
        seen.append(jax.tree.map(np.asarray, played))
        # Learning consumes what the agent is made of.
        agent.number.delete()
    kept = jax.tree.map(np.asarray, players)
    ahead.close()

    players = twin.start(keys, Dicer(jnp.zeros(1, int)))
    for part, number in enumerate((0, 0, 1)):
        own = jax.vmap(lambda key: jax.random.fold_in(key, max(part - 1, 0)))(keys)  # noqa: B023
        if part:
            own = jax.vmap(lambda key: jax.random.fold_in(key, AHEAD))(own)
        players, played = twin.collect(own, Dicer(jnp.full(1, number)), players)
        same(jax.tree.map(np.asarray, played), seen[part])
    # What a checkpoint keeps is where these items end, whatever is under way.
    np.testing.assert_array_equal(kept.begun, players.begun)
    np.testing.assert_array_equal(kept.carry, players.carry)


def test_processes_started_while_playing_ahead_close_their_environments(make, folder):
    player = AheadPlayer(make("counter", config=HostConfig(episodes_per_process=1), steps=16))
    keys, agent = seed_keys(0, 1), Dicer(jnp.zeros(1, int))
    player.collect(keys, agent, player.start(keys, agent))
    player._next.result()  # processes were replaced in its thread
    player.close()
    words = [line.split()[1] for line in (folder / "log").read_text().splitlines()]
    assert words.count("closed") == words.count("made") > 2


def test_items_under_way_are_dropped_where_another_run_starts(make):
    player = AheadPlayer(make("counter"))
    keys, agent = seed_keys(0, 1), Dicer(jnp.zeros(1, int))
    player.collect(keys, agent, player.start(keys, agent))
    other = seed_keys(1, 1)
    _, played = player.collect(other, agent, player.start(other, agent))
    _, expected = make("counter").collect(other, agent, player.start(other, agent))
    same(jax.tree.map(np.asarray, played), jax.tree.map(np.asarray, expected))
    player.close()


def test_a_forgotten_player_ends_its_processes(make, folder):
    player = HostPlayer(host_envs.spec_of("counter"), num_envs=1, steps=STEPS, config=QUICK)
    keys, agent = seed_keys(0, 1), Dicer(jnp.zeros(1, int))
    player.collect(keys, agent, player.start(keys, agent))
    del player
    gc.collect()
    assert not any(psutil.pid_exists(pid) for pid in pids(folder))


@pytest.mark.parametrize("name", ["counter", "hang-once"])
def test_playing_ahead_ends_at_once(make, name):
    player = AheadPlayer(make(name, config=HostConfig(step_seconds=60.0), steps=5))
    keys, agent = seed_keys(0, 1), Dicer(jnp.zeros(1, int))
    players, _ = player.collect(keys, agent, player.start(keys, agent))
    player.test(keys, agent, 1) if name == "counter" else time.sleep(0.5)
    begin = time.monotonic()
    player.close()
    assert time.monotonic() - begin < 20
    # It can be used again.
    if name == "counter":
        assert player.collect(keys, agent, players)[1].arrivals.first[0, 0, 0]
        player.close()


def test_what_fails_while_playing_ahead_is_told_by_the_next_call(make):
    player = AheadPlayer(make("raise-once", config=HostConfig(failures=1, step_seconds=5.0), steps=5))
    keys, agent = seed_keys(0, 1), Dicer(jnp.zeros(1, int))
    players, _ = player.collect(keys, agent, player.start(keys, agent))
    with pytest.raises(PlayError, match=r"failed 1 times in a row.*the pathfinder is lost"):
        player.collect(keys, agent, players)


PARENT = """
import jax, jax.numpy as jnp, sys, time
from mag.learning.parallel import seed_keys
from mag.play.host import HostPlayer
from tests.play.test_host import Dicer
from tests.support import host_envs
player = HostPlayer(host_envs.spec_of(sys.argv[1]), num_envs=2, steps=9)
keys, agent = seed_keys(0, 1), Dicer(jnp.zeros(1, int))
player.collect(keys, agent, player.start(keys, agent))
print("playing", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("end", ["killed", "done"])
def test_no_process_outlives_its_player(folder, end):
    seconds = "60" if end == "killed" else "0"
    with subprocess.Popen([sys.executable, "-c", PARENT, "counter", seconds], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"playing\n"
        if end == "killed":
            parent.kill()
    workers = pids(folder)
    assert len(workers) == 2
    for _ in range(100):
        if not any(psutil.pid_exists(pid) for pid in workers):
            break
        time.sleep(0.05)
    assert not any(psutil.pid_exists(pid) for pid in workers)
    if end == "done":
        assert len(re.findall("closed", (folder / "log").read_text())) == 2
