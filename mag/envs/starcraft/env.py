"""StarCraft II as a host environment: SMAC's episodes on the game itself.

The observation, mask, state and reward are those of `mag.envs.smac_jax.observe`, compiled for the CPU in the process
that plays. One definition serves both families, at the price of JAX's memory beside StarCraft II's (1 to 2 GB).
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from mag.envs import EnvSpec
from mag.envs.host import time_step
from mag.envs.smac_jax.battle import LOOPS_PER_SECOND, TICKS_PER_STEP, Battle, Units, start_units
from mag.envs.smac_jax.maps import Map
from mag.envs.smac_jax.observe import make_layout
from mag.envs.smac_jax.rules import DIRECTIONS, FIRST_ATTACK, MOVE_AMOUNT, NORTH, STOP
from mag.envs.smac_jax.view import SMACView
from mag.envs.starcraft.client import Game, GameError, protocol
from mag.envs.starcraft.install import MAPS, find_game, find_map
from mag.envs.starcraft.roster import check_types, check_vitals, in_roster_order
from mag.envs.starcraft.scenario import Scenario
from mag.envs.starcraft.show import StarCraftView, battle_on, make_show, map_on
from mag.types import TimeStep

ALLY, ENEMY = 1, 2
"""The game's numbers of the two players."""
ABILITY_STOP, ABILITY_MOVE, ABILITY_ATTACK, ABILITY_HEAL = 4, 16, 23, 386
LOOPS_AFTER_RESTART = 2
MOST_LOOPS = 100
"""Game loops within which all units have to be on the map."""


class StarCraftEnv:
    """One game of StarCraft II on one of SMAC's maps, started at the first `reset`.

    After a GameError the game is ended, and the next `reset` starts another.
    """

    def __init__(self, spec: EnvSpec, scenario: Scenario) -> None:
        """Check that the game and its map are there. Raises UsageError where they are not."""
        self.spec = spec
        self._scenario = scenario
        self._install = find_game(scenario.options.version)
        self._map_file = find_map(self._install.root, scenario.map_name)
        self._api = protocol()
        self._layout = make_layout(scenario.game_map)
        types = scenario.game_map.ally_types + scenario.game_map.enemy_types
        self._heals = np.array([unit.ability == "heal" for unit in types])
        self.view = StarCraftView(self)
        self.units: Units
        """The units as they were last read, allies first."""
        self.last_actions = np.full(spec.n_agents, -1, np.int32)
        """The last joint action as it was played; -1 where an episode starts."""
        self._map: Map
        self._battle: Battle
        self._show: Any
        self._game: Any = None
        self._tags: list[int] = []
        self._avail: np.ndarray
        self._time = 0

    @property
    def game(self) -> Any:
        """The game under way. Raises GameError where there is none."""
        if self._game is None:
            raise GameError("no game is under way")
        return self._game

    def reset(self, seed: int) -> TimeStep:
        """See `HostEnv.reset`. The game draws its own random numbers: `seed` is used only when the game is started."""
        with self._ending_on_error():
            if self._game is None:
                self._start(seed if self._scenario.options.seed is None else self._scenario.options.seed)
            else:
                self._kill_all()
                self._step(LOOPS_AFTER_RESTART)
            self._find_units()
        self._time, self.last_actions = 0, np.full(self.spec.n_agents, -1, np.int32)
        shown = self._show(self.units, self.units, self.last_actions, False)
        self._avail = shown.avail
        return time_step(
            self.spec, obs=shown.obs, avail=shown.avail, alive=self._alive()[0], first=True, state=shown.state
        )

    def step(self, action: Int[np.ndarray, " agents"]) -> TimeStep:
        """See `HostEnv.step`. An unavailable action counts as stop."""
        before = self.units
        self.last_actions = action = self._allowed(np.asarray(action, np.int32))
        with self._ending_on_error():
            self._order(action)
            self._step(TICKS_PER_STEP)
            self.units = self._read_units()
        self._time += 1
        allies_fight, enemies_fight = self._can_fight()
        won = allies_fight and not enemies_fight
        shown = self._show(before, self.units, action, won)
        self._avail = shown.avail
        return time_step(
            self.spec,
            obs=shown.obs,
            avail=shown.avail,
            alive=self._alive()[0],
            reward=float(shown.reward),
            terminated=not (allies_fight and enemies_fight),
            truncated=self._time >= self.spec.episode_limit,
            won=won,
            state=shown.state,
        )

    def smac_view(self) -> SMACView:
        """The view of the map on the game's ground. Raises GameError where no game is under way."""
        if self._game is None:
            raise GameError("no game is under way")
        return SMACView(self._map, self._battle, self._layout)

    def close(self) -> None:
        """Save the replay where one is asked for, and end the game."""
        if self._game is not None:
            if self._scenario.options.replays is not None:
                self._save_replay(Path(self._scenario.options.replays).expanduser())
            self._game.close()
        self._game = None

    @contextlib.contextmanager
    def _ending_on_error(self) -> Iterator[None]:
        """End the game where the block raises: the next `reset` starts another."""
        try:
            yield
        except BaseException:
            if self._game is not None:
                self._game.close()
            self._game = None
            raise

    # The game's episodes.

    def _start(self, seed: int) -> None:
        """Start the game, create a match on the map and join it."""
        api, scenario = self._api, self._scenario
        self._game = Game(self._install)
        create = api.RequestCreateGame(realtime=False, random_seed=seed % 2**32)
        create.local_map.map_path = f"{MAPS}/{self._map_file.name}"
        create.local_map.map_data = self._map_file.read_bytes()
        create.player_setup.add(type=api.Participant)
        race, difficulty = _races(scenario.enemy_race), api.Difficulty.Value(scenario.options.difficulty)
        create.player_setup.add(type=api.Computer, race=race, difficulty=difficulty)
        self.game.request("create_game", create)
        options = api.InterfaceOptions(raw=True, score=False)
        self.game.request("join_game", api.RequestJoinGame(race=_races(scenario.ally_race), options=options))
        ground = self.game.request("game_info").start_raw
        self._map = map_on(scenario.game_map, ground)
        self._battle = battle_on(self._map)
        self._show = make_show(self._battle, self._layout)

    def _kill_all(self) -> None:
        """Kill all units, as SMAC does to begin a new episode: the map then creates new ones."""
        debug = self._api.RequestDebug()
        alive = np.concatenate(self._alive())
        debug.debug.add().kill_unit.tag.extend(tag for tag, lives in zip(self._tags, alive, strict=True) if lives)
        self.game.request("debug", debug)

    def _step(self, loops: int) -> None:
        self.game.request("step", self._api.RequestStep(count=loops))

    def _observe(self) -> list[Any]:
        """The game's units of both players."""
        units = self.game.request("observation").observation.raw_data.units
        return [unit for unit in units if unit.owner in (ALLY, ENEMY) and unit.health > 0]

    def _find_units(self) -> None:
        """Wait until all units are on the map, and number them."""
        for _ in range(MOST_LOOPS):
            units = self._observe()
            allies = [unit for unit in units if unit.owner == ALLY]
            enemies = [unit for unit in units if unit.owner == ENEMY]
            if len(allies) == self._layout.num_allies and len(enemies) == self._layout.num_enemies:
                break
            self._step(1)
        else:
            raise GameError(
                f"{MOST_LOOPS} game loops after the start there are {len(allies)} allies and {len(enemies)} enemies; "
                f"the roster has {self._layout.num_allies} and {self._layout.num_enemies}"
            )
        game_map = self._scenario.game_map
        allies = sorted(allies, key=lambda unit: (unit.unit_type, unit.pos.x, unit.pos.y))
        check_types(self.spec.name, allies, [unit.name for unit in game_map.ally_types])
        enemies = in_roster_order(self.spec.name, enemies, [unit.number for unit in game_map.enemy_types])
        self._tags = [unit.tag for unit in (*allies, *enemies)]
        check_vitals(self.spec.name, [*allies, *enemies], game_map.ally_types + game_map.enemy_types)
        self.units = start_units(self._battle)
        self.units = self._fill(units)

    def _read_units(self) -> Units:
        """The units as they are now; a unit that the game no longer lists is dead and keeps its position."""
        return self._fill(self._observe())

    def _fill(self, shown: list[Any]) -> Units:
        old = self.units
        health, shield, position, cooldown = (np.array(x) for x in (old.health, old.shield, old.position, old.cooldown))
        found = {unit.tag: unit for unit in shown}
        for index, tag in enumerate(self._tags):
            unit = found.get(tag)
            health[index], shield[index] = (0.0, 0.0) if unit is None else (unit.health, unit.shield)
            if unit is not None:
                position[index] = unit.pos.x, unit.pos.y
                # SMAC shows a Medivac's energy in the place of others' cooldown.
                loops = unit.energy if self._heals[index] else unit.weapon_cooldown
                cooldown[index] = loops / LOOPS_PER_SECOND
        new: dict[str, Any] = {"health": health, "shield": shield, "position": position, "cooldown": cooldown}
        return old._replace(**new)

    def _can_fight(self) -> tuple[bool, bool]:
        """Whether each side can still fight, in SMAC's way: Medivacs alone cannot; of enemies, a single one."""
        allies, enemies = self._alive()
        ally_heals, enemy_heals = np.split(self._heals, [self.spec.n_agents])
        is_last_a_medivac = enemies.sum() == 1 and enemy_heals[enemies].all()
        return bool((allies & ~ally_heals).any()), bool(enemies.any() and not is_last_a_medivac)

    def _alive(self) -> tuple[np.ndarray, np.ndarray]:
        alive = np.asarray(self.units.health) > 0
        return alive[: self.spec.n_agents], alive[self.spec.n_agents :]

    # The agents' orders.

    def _allowed(self, action: Int[np.ndarray, " agents"]) -> Int[np.ndarray, " agents"]:
        """The actions, with stop in place of unavailable ones, and no-op for dead agents."""
        allowed = self._avail[np.arange(len(action)), np.clip(action, 0, self.spec.n_actions - 1)]
        return np.where(allowed, action, np.where(self._alive()[0], STOP, 0)).astype(np.int32)

    def _order(self, action: Int[np.ndarray, " agents"]) -> None:
        """Give the living their orders."""
        request = self._api.RequestAction()
        for agent, chosen in enumerate(action):
            if chosen < STOP:
                continue
            command = request.actions.add().action_raw.unit_command
            command.unit_tags.append(self._tags[agent])
            if chosen == STOP:
                command.ability_id = ABILITY_STOP
            elif chosen < FIRST_ATTACK:
                command.ability_id = ABILITY_MOVE
                aim = self.units.position[agent] + MOVE_AMOUNT * np.array(DIRECTIONS[chosen - NORTH])
                command.target_world_space_pos.x, command.target_world_space_pos.y = map(float, aim)
            elif self._heals[agent]:
                command.ability_id = ABILITY_HEAL
                command.target_unit_tag = self._tags[chosen - FIRST_ATTACK]
            else:
                command.ability_id = ABILITY_ATTACK
                command.target_unit_tag = self._tags[self.spec.n_agents + chosen - FIRST_ATTACK]
        self.game.request("action", request)

    def _save_replay(self, folder: Path) -> None:
        """Write a replay of everything since the game started."""
        try:
            data = self.game.request("save_replay").data
        except GameError:
            return  # a game that no longer answers has no replay to give
        folder.mkdir(parents=True, exist_ok=True)
        name = self.spec.name.partition("/")[2].replace("/", "_")
        (folder / f"{name}-{self.game.pid}.SC2Replay").write_bytes(data)


def _races(race: str) -> int:
    from s2clientprotocol import common_pb2

    return int(common_pb2.Race.Value(race.capitalize()))
