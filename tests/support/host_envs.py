"""A family of host environments: NumPy's twins of some probes, and what can go wrong with them.

Faults happen at the second step of a process's first episode. Where the map's name ends in `-once` they happen in the
second episode of the first process that comes to it, which leaves a file in $HOST_ENVS, and never again. `late` fails
for good once there is a file `closed` in that folder; `wide` has one feature more; `seen` has a view; a step of `slow`
takes a while. `archers` is a battle.
"""

import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np

from mag.envs import Enemies, EnvSpec
from mag.envs.host import time_step
from mag.errors import UsageError

host = True
TASKS = ("counter", "clock", "rivals")
OTHERS = ("late", "wide", "seen", "slow", "archers")
SLOW = 0.05
"""Seconds that a step of `slow` takes."""
FAULTS = (
    "crash",
    "hang",
    "raise",
    "nan",
    "shape",
    "dtype",
    "endless",
    "unavailable",
    "not-first",
    "both",
    "other-spec",
    "leak",
    "slow-close",
    "refuse",
    "die-making",
    "hang-making",
)


def specs():
    """See `mag.envs.Family`."""
    return {name: spec_of(name) for name in (*TASKS, *OTHERS, *FAULTS, *(f"{fault}-once" for fault in FAULTS))}


def spec_of(name):
    """The sizes of `probe/counter`, or of `probe/rivals`."""
    if name == "rivals":
        sizes = {"n_agents": 2, "obs_dim": 2, "state_dim": None, "n_actions": 2, "episode_limit": 1}
        return EnvSpec(f"{__name__}/{name}", **sizes, has_masks=False, has_wins=False, team_reward=False)
    if name == "archers":
        sizes = {"n_agents": 2, "obs_dim": 7, "state_dim": None, "n_actions": 4, "episode_limit": 3}
        enemies = Enemies(3, first_feature=1, features=2, offset=0, first_action=1)
        return EnvSpec(f"{__name__}/{name}", **sizes, has_masks=True, has_wins=False, enemies=enemies)
    return EnvSpec(
        name=f"{__name__}/{name}",
        n_agents=2,
        obs_dim=14 + (name == "wide"),
        state_dim=3,
        n_actions=3,
        episode_limit=5,
        has_masks=False,
        has_wins=False,
    )


def make(name):
    """See `mag.envs.Family`."""
    return {"rivals": Rivals, "archers": Archers}.get(name, lambda: Counter(name))()


class Archers:
    """Two agents and three enemies in new places at each step; each agent that shoots its nearest is paid a half."""

    def __init__(self):
        self.spec = spec_of("archers")

    def reset(self, seed):
        self.random, self.time = np.random.default_rng(seed), 0
        return self.show(first=True)

    def step(self, action):
        self.time += 1
        nearest = np.square(self.place).sum(-1).argmin(-1)
        return self.show(reward=float((action == 1 + nearest).mean()), truncated=self.time == 3)

    def close(self):
        pass

    def show(self, **rest):
        self.place = self.random.normal(size=(2, 3, 2))
        obs = np.concatenate([np.full((2, 1), self.time), self.place.reshape(2, 6)], 1)
        return time_step(self.spec, obs=obs, **rest)


class Rivals:
    """`mag.envs.probe.Rivals`, whose agents have rewards of their own."""

    def __init__(self):
        self.spec = spec_of("rivals")

    def reset(self, seed):
        return time_step(self.spec, obs=np.eye(2), first=True)

    def step(self, action):
        paid = np.array([[1.0, 0.5], [-1.0, 0.0]], np.float32)[action[0], action[1]]
        return time_step(self.spec, obs=np.eye(2), reward=np.array([paid, -paid]), terminated=True)

    def close(self):
        pass


class CounterView:
    """Two allies that walk to the east, a step at a time.

    `mag.envs.view` loads JAX, which processes that only play must not: it is imported where something is drawn.
    """

    @property
    def scene(self):
        """See `mag.envs.view.View`."""
        from mag.envs.view import Kind, Scene

        return Scene(8.0, 8.0, (), (), (Kind("walker", 0.5, 10.0, 0.0),), allies=2)

    def frame(self, state):
        """See `mag.envs.view.View`."""
        from mag.envs.view import NOBODY, Frame

        nothing = np.zeros(2, np.float32)
        place = np.array([[1.0 + state.time, 2.0], [1.0 + state.time, 4.0]], np.float32)
        return Frame(np.zeros(2, np.int32), place, nothing + 10, nothing, np.full(2, NOBODY, np.int32), nothing)

    def sight(self, obs):
        """See `mag.envs.view.View`: each agent sees both where they are."""
        import jax.numpy as jnp

        from mag.envs.view import Sight

        offset = jnp.array([[[0.0, 0.0], [0.0, 2.0]], [[0.0, -2.0], [0.0, 0.0]]])
        return Sight(jnp.ones((2, 2), bool), offset, jnp.ones((2, 2)), jnp.zeros((2, 2)), own_position=None)


class Counter:
    """`mag.envs.probe.Counter` or `Clock`, step by step in NumPy, with faults."""

    def __init__(self, name):
        self.spec = spec_of(name)
        self.fault = "" if name in (*TASKS, *OTHERS) else name.removesuffix("-once")
        if self.fault == "other-spec":
            self.spec = dataclasses.replace(self.spec, obs_dim=28)
        self.once = name.endswith("-once")
        self.truncates = name == "clock"
        self.episode = 0
        if name == "seen":
            self.view = CounterView()
        self.log("made")
        if self.fault == "refuse":
            raise UsageError("the game is not installed; install it")
        if self.fault == "die-making" and self.is_due():
            print("no licence", file=sys.stderr)
            os._exit(9)
        if self.fault == "hang-making" and self.is_due():
            time.sleep(60)

    def reset(self, seed):
        self.log(f"reset {seed}")
        self.episode += 1
        self.time, self.action = 0, np.array([-1, -1])
        return self.show(0.0)

    def step(self, action):
        assert action.dtype == np.int32 and action.shape == (2,)
        if self.spec.name.endswith("late") and (Path(os.environ["HOST_ENVS"]) / "closed").exists():
            raise RuntimeError("the theatre is closed")
        if self.spec.name.endswith("slow"):
            time.sleep(SLOW)
        reward = self.time + action[0] / 4 + action[1] / 16
        self.time, self.action = self.time + 1, action
        if self.fault and self.episode == 1 + self.once and self.time == 2 and self.is_due():
            self.go_wrong()
        return self.spoilt(self.show(reward))

    def close(self):
        if self.fault == "slow-close":
            time.sleep(60)
        self.log("closed")

    def go_wrong(self):
        """Faults of a process."""
        if self.fault == "crash":
            print("segmentation fault", file=sys.stderr, flush=True)
            os._exit(7)
        if self.fault == "hang":
            time.sleep(60)
        if self.fault == "raise":
            raise ValueError("the pathfinder is lost")
        if self.fault == "leak":
            self.lost = np.ones(40_000_000)  # 320 MB
        self.gone_wrong = True

    def spoilt(self, shown):
        """Faults of what is shown."""
        if not getattr(self, "gone_wrong", False):
            return shown
        if self.fault == "nan":
            return shown._replace(obs=np.full((2, 14), np.nan, np.float32))
        if self.fault == "shape":
            return shown._replace(obs=np.zeros((2, 13), np.float32))
        if self.fault == "dtype":
            return shown._replace(alive=np.array([0.5, 1.0]))
        if self.fault == "unavailable":
            return shown._replace(avail=np.array([[True, True, True], [False, False, False]]))
        if self.fault == "not-first":
            return shown._replace(first=np.bool_(True))
        if self.fault == "endless":
            return shown._replace(terminated=np.bool_(False))
        if self.fault == "both":
            return shown._replace(terminated=np.bool_(True), truncated=np.bool_(True))
        return shown

    def show(self, reward):
        seen = np.zeros((2, 14))
        seen[:, self.time], seen[[0, 1], [6, 7]] = 1, 1
        if self.time:
            seen[:, [8 + self.action[0], 11 + self.action[1]]] = 1
        over = self.time == 5
        return time_step(
            self.spec,
            obs=seen,
            reward=reward,
            first=self.time == 0,
            terminated=over and not self.truncates,
            truncated=over,
            state=np.array([self.time, *self.action], np.float32),
        )

    def is_due(self):
        """Whether the fault happens in this process."""
        if not self.once:
            return True
        # Made in one step: processes that come to it at the same moment must not both go wrong.
        try:
            (Path(os.environ["HOST_ENVS"]) / "gone_wrong").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def log(self, line):
        """Leave a trace for the test."""
        if folder := os.environ.get("HOST_ENVS"):
            with (Path(folder) / "log").open("a") as log:
                log.write(f"{os.getpid()} {line} {'jax' in sys.modules}\n")
