"""Playing environments on the host: processes, stepped from Python around one compiled `act` for all of them.

Items are recorded and counted exactly as by the player in JAX (`mag.play.host_items`). An item's randomness depends on
its environment and its number alone, not on which process answers first, so that a run whose processes never fail
repeats bit for bit.

An episode breaks off where its process crashes, hangs or raises. Its items from the current call of `collect` are
dropped. Its items from earlier calls stay and are learned from, for these transitions really happened; the item after
them is marked as the start of another episode, which cuts the sequence there. Holding items back until their episode
ends would give on-policy methods what older parameters played.
"""

import os
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Key, PRNGKeyArray

from mag.envs import EnvSpec
from mag.envs.host import record_type, time_steps
from mag.learning.parallel import Workers, per_seed
from mag.play.collecting import Played, keys_of_start
from mag.play.episode import Agent, where
from mag.play.host_config import HostConfig
from mag.play.host_items import Items, Moments
from mag.play.seats import Seat, Seats
from mag.types import Episodes, TimeStep

TRAINING, TEST = 0, 1
"""Keep the seeds of training's episodes apart from the seeds of test episodes."""
MOST_SEED = 2**31
"""Seeds of episodes are below this number, so that every library accepts them."""


class Players(NamedTuple):
    """The environments being played, as a checkpoint keeps them: all but the episodes under way."""

    carry: Any
    """The agents' recurrent states, `[seeds, envs]`."""
    entropy: Int[Array, "seeds words"]
    """Random words from which the episodes' seeds are derived."""
    begun: Int[Array, "seeds envs"]
    """Episodes begun so far."""
    session: Int[Array, " seeds"]
    """A random number for the player whose processes hold the episodes under way; 0 before the first."""


class Trial(NamedTuple):
    """A test episode under way in one environment: its key, and the agents' recurrent state."""

    key: PRNGKeyArray
    carry: Any


class HostPlayer:
    """Plays `num_envs` environments of each seed, `steps` items at a time (`mag.play.player.Player`).

    Tests have processes of their own, at most as many. Processes are started when needed; `close` ends all. With
    `limit_ends` a time limit is recorded as an end.
    """

    def __init__(
        self,
        spec: EnvSpec,
        *,
        num_envs: int,
        steps: int,
        num_seeds: int = 1,
        workers: int = 1,
        limit_ends: bool = False,
        config: HostConfig | None = None,
        content: dict[str, Any] | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        """`content`: a map file's content (`mag.envs.content`), None for other maps; `say` shows the user a message."""
        self.spec, self.num_envs, self.steps = spec, num_envs, steps
        self.num_seeds, self.workers = num_seeds, Workers(workers)
        self._config = HostConfig() if config is None else config
        self._content, self._say = content, say
        self._session = 1 + int.from_bytes(os.urandom(4), "little") % (2**31 - 1)
        self._training, self._tests = Seats(), Seats()
        self._moments = Moments(spec, num_seeds * num_envs, limit_ends=limit_ends)
        self._episodes = TrainingEpisodes(num_seeds, num_envs)
        self._finalizer = weakref.finalize(self, _close, self._training, self._tests)

    def footprint(self) -> dict[str, int]:
        """See `Player.footprint`: this process holds one time step of each episode."""
        return {"episode": 3 * record_type(self.spec).itemsize}

    def stop_collecting(self, stops: bool = True) -> None:
        """Make a `collect` in another thread raise StoppedError; with `stops` false, let `collect` work again."""
        self._training.stop_waiting(stops)

    def close(self) -> None:
        """End all processes."""
        _close(self._training, self._tests)

    def metrics(self) -> dict[str, np.ndarray]:
        """Processes started again and episodes broken off so far, `[seeds]`."""
        lost = self._training.lost + self._tests.lost
        return {
            "play/restarts": np.full(self.num_seeds, lost.restarts),
            "play/dropped_episodes": np.full(self.num_seeds, lost.episodes),
        }

    # Collecting.

    @per_seed()
    def start(self, key: PRNGKeyArray, agent: Agent) -> Players:
        """Environments before their first episodes. The key is consumed."""
        _, keys = keys_of_start(key, self.num_envs)
        return Players(
            carry=jax.vmap(agent.initial_carry)(keys),
            entropy=jax.random.key_data(key),
            begun=jnp.zeros(self.num_envs, jnp.int32),
            session=jnp.zeros((), jnp.int32),
        )

    def collect(self, keys: Key[Array, " seeds"], agent: Agent, players: Players) -> tuple[Players, Played]:
        """`steps` items of each environment, `[seeds, envs, time]`. The keys are consumed."""
        self._enter(players)
        seats, moments, carry = self._training, self._moments, players.carry
        items = Items(self.spec, len(seats), self.steps)
        item_keys = self._item_keys(keys)
        while items.are_lacking.any() or not seats.are_ready.all():
            for env, shown in seats.wait(items.are_lacking):
                items.drop(env) if shown is None else self._arrive(env, shown, items)
            active = seats.are_ready & items.are_lacking
            if not active.any():
                continue
            number, playing = self._by_seed(np.minimum(items.count, self.steps - 1)), self._by_seed(active)
            timestep = time_steps(self._by_seed(moments.shown))
            items.append(moments, active)
            action, carry = self._act(item_keys, number, agent, carry, timestep, playing)
            self._request_items(active, np.asarray(action).reshape(len(seats), -1))
        begun = jnp.asarray(self._by_seed(self._episodes.begun), jnp.int32)
        session = jnp.full(self.num_seeds, self._session, jnp.int32)
        return Players(carry, players.entropy, begun, session), items.played(moments, players.carry, self.num_seeds)

    def _enter(self, players: Players) -> None:
        """Begin the episodes of `players`, unless this player's own processes hold them."""
        sessions = np.asarray(players.session)
        if (sessions == self._session).all() and len(self._training):
            return
        if sessions.any():
            self._say(
                f"the episodes of {self.spec.name} that were under way could not be saved: in their place "
                f"{self.num_seeds * self.num_envs} new ones begin"
            )
        self._episodes.entropy = np.asarray(players.entropy)
        self._episodes.begun = np.array(players.begun, np.int64).ravel()
        self._training.fill(self._seat(env, self._episodes.next_seed) for env in range(self.num_seeds * self.num_envs))

    def _seat(self, env: int, seed_of: Callable[[int], int]) -> Seat:
        return Seat(self.spec, self._config, lambda: seed_of(env), self._content)

    def _arrive(self, env: int, shown: np.void, items: Items) -> None:
        """Note the time step that an environment has reached."""
        if shown["first"]:
            self._moments.start_episode(env, shown)
            items.start_episode(env)
        else:
            self._moments.step(env, shown)

    def _request_items(self, active: Bool[np.ndarray, " envs"], action: Int[np.ndarray, "envs agents"]) -> None:
        """Ask the active environments for their next item: a transition, the second absorbing item, a new episode."""
        for env in np.flatnonzero(active).tolist():
            if self._moments.is_over(env):
                self._training[env].reset()
                continue
            if self._moments.absorbing[env] == 1:
                self._moments.absorb(env)
            else:
                self._training[env].step(action[env])
            self._moments.previous_action[env] = action[env]

    def _by_seed(self, array: np.ndarray) -> Any:
        return array.reshape(self.num_seeds, -1, *array.shape[1:])

    @per_seed()
    def _item_keys(self, key: PRNGKeyArray) -> Key[Array, "steps envs"]:
        """The key of each item's action, the same as in the JAX player."""
        keys = jax.vmap(lambda key: jax.random.split(key, self.num_envs))(jax.random.split(key, self.steps))
        return jax.vmap(jax.vmap(lambda key: jax.random.split(key)[0]))(keys)

    @per_seed()
    def _act(
        self,
        keys: Key[Array, "steps envs"],
        number: Int[Array, " envs"],
        agent: Agent,
        carry: Any,
        timestep: TimeStep,
        playing: Bool[Array, " envs"],
    ) -> tuple[Int[Array, "envs agents"], Any]:
        """The actions for one item of each environment; where an environment is not `playing`, its carry stays."""

        def act(key: PRNGKeyArray, carry: Any, timestep: TimeStep, plays: Bool[Array, ""]) -> tuple[Array, Any]:
            action, new = agent.act(key, carry, timestep, greedy=False)
            return action, where(plays, new, carry)

        return jax.vmap(act)(keys[number, jnp.arange(self.num_envs)], carry, timestep, playing)

    # Testing.

    def test(self, keys: Key[Array, " seeds"], agent: Agent, episodes: int) -> Episodes:
        """Whole greedy episodes, `[seeds, episodes]`. The keys are consumed. A broken episode is played again."""
        at_once = min(self.num_envs, episodes)
        schedule = Schedule(self.spec, self.num_seeds, at_once, episodes, np.asarray(jax.random.key_data(keys)))
        self._tests.fill(self._seat(env, schedule.next_seed) for env in range(schedule.seats))
        episode_keys = jax.vmap(lambda key: jax.random.split(key, episodes))(keys)
        trials = self._begin_trials(episode_keys, schedule.numbers, agent)
        while schedule.are_playing.any():
            for env, shown in self._tests.wait(schedule.are_playing):
                if shown is not None and schedule.arrive(env, shown):
                    self._tests[env].reset()
            active = self._tests.are_ready & schedule.are_playing
            if not active.any():
                continue
            timestep, playing = time_steps(self._by_seed(self._tests.shown)), self._by_seed(active)
            action, trials = self._act_in_tests(episode_keys, schedule.numbers, agent, trials, timestep, playing)
            chosen = np.asarray(action).reshape(schedule.seats, -1)
            for env in np.flatnonzero(active).tolist():
                self._tests[env].step(chosen[env])
        return schedule.results()

    @per_seed()
    def _begin_trials(self, keys: Key[Array, " episodes"], numbers: Int[Array, " envs"], agent: Agent) -> Trial:
        """The trials of the episodes with these numbers."""
        return jax.vmap(lambda number: begin_trial(keys[number], agent))(numbers)

    @per_seed()
    def _act_in_tests(
        self,
        keys: Key[Array, " episodes"],
        numbers: Int[Array, " envs"],
        agent: Agent,
        trials: Trial,
        timestep: TimeStep,
        playing: Bool[Array, " envs"],
    ) -> tuple[Int[Array, "envs agents"], Trial]:
        """The greedy actions in each environment; where one is not `playing`, its trial stays."""

        def act(
            number: Int[Array, ""], trial: Trial, timestep: TimeStep, plays: Bool[Array, ""]
        ) -> tuple[Array, Trial]:
            begun = where(timestep.first, begin_trial(keys[number], agent), trial)
            action, acted = act_in_trial(begun, agent, timestep)
            return action, where(plays, acted, trial)

        return jax.vmap(act)(numbers, trials, timestep, playing)


class TrainingEpisodes:
    """The seeds of training's episodes. Processes hold this, not the player, which they would keep alive."""

    def __init__(self, num_seeds: int, num_envs: int) -> None:
        self._num_envs = num_envs
        self.entropy = np.zeros((num_seeds, 2), np.uint32)
        """Random words of each seed."""
        self.begun = np.zeros(num_seeds * num_envs, np.int64)
        """Episodes that each environment has begun."""

    def next_seed(self, env: int) -> int:
        """The seed of an environment's next episode."""
        self.begun[env] += 1
        run, number = divmod(env, self._num_envs)
        return episode_seed(self.entropy[run], TRAINING, number, int(self.begun[env]))


class Schedule:
    """Which environment plays which test episodes, fixed in advance so that short ones count no more than long ones."""

    def __init__(self, spec: EnvSpec, num_seeds: int, at_once: int, episodes: int, entropy: np.ndarray) -> None:
        self.seats = num_seeds * at_once
        self._at_once, self._episodes, self._entropy = at_once, episodes, entropy
        self._number = np.tile(np.arange(at_once, dtype=np.int32), num_seeds)
        """The number of each environment's current episode; too large when all of its own are played."""
        self._tries = np.zeros((num_seeds, episodes), np.int64)
        self._returns = np.zeros((self.seats, *spec.reward_shape), np.float32)
        self._length = np.zeros(self.seats, np.int32)
        shape = (num_seeds, episodes)
        returns = np.zeros((*shape, *spec.reward_shape), np.float32)
        columns: list[Any] = [np.zeros(shape, bool), np.zeros(shape, bool), returns, np.zeros(shape, np.int32)]
        self._results = Episodes(*columns)

    @property
    def are_playing(self) -> Bool[np.ndarray, " envs"]:
        """Which environments have episodes left."""
        return self._number < self._episodes

    @property
    def numbers(self) -> Any:
        """The episode under way of each environment, `[seeds, envs]`."""
        return np.minimum(self._number, self._episodes - 1).reshape(-1, self._at_once)

    def next_seed(self, env: int) -> int:
        """The seed of an environment's next episode, a new one each time the episode is begun again."""
        run, number = env // self._at_once, min(int(self._number[env]), self._episodes - 1)
        self._tries[run, number] += 1
        return episode_seed(self._entropy[run], TEST, number, int(self._tries[run, number]))

    def arrive(self, env: int, shown: np.void) -> bool:
        """Count a time step; returns whether the environment has to begin another episode."""
        if shown["first"]:
            self._returns[env] = self._length[env] = 0
            return False
        self._returns[env] += shown["reward"]
        self._length[env] += 1
        if not (shown["terminated"] or shown["truncated"]):
            return False
        result = (True, shown["won"], self._returns[env], self._length[env])
        for field, value in zip(self._results, result, strict=True):
            np.asarray(field)[env // self._at_once, self._number[env]] = value
        self._number[env] += self._at_once
        return bool(self.are_playing[env])

    def results(self) -> Episodes:
        """The results of all episodes, `[seeds, episodes]`."""
        return self._results


def episode_seed(entropy: np.ndarray, stream: int, *numbers: int) -> int:
    """The seed of one episode, hashed from entropy, stream and numbers."""
    words = [*map(int, entropy), stream, *numbers]
    return int(np.random.SeedSequence(words).generate_state(1)[0]) % MOST_SEED


def test_seed(key: PRNGKeyArray, number: int) -> int:
    """The seed of test episode `number` at its first try, in the test with this key."""
    return episode_seed(np.asarray(jax.random.key_data(key)), TEST, number, 1)


def begin_trial(key: PRNGKeyArray, agent: Agent) -> Trial:
    """A test episode at its start, with the keys of `mag.play.testing.start_trial`. The key is consumed."""
    _, key, key_carry = jax.random.split(key, 3)
    return Trial(key, agent.initial_carry(key_carry))


def act_in_trial(trial: Trial, agent: Agent, timestep: TimeStep) -> tuple[Int[Array, " agents"], Trial]:
    """The greedy joint action in a test episode, with the keys of `mag.play.testing.step_trial`."""
    key, key_act, _ = jax.random.split(trial.key, 3)
    action, carry = agent.act(key_act, trial.carry, timestep, greedy=True)
    return action, Trial(key, carry)


def _close(*groups: Seats) -> None:
    for seats in groups:
        seats.close()
