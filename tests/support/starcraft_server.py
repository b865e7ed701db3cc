"""A stand-in for StarCraft II: a program that speaks the game's protocol on the loopback, out of a `smac_jax` battle.

`install(folder)` lays it out as the game lies on a disk, so that clients start it as they start the game. It says
nothing on StarCraft II's dynamics; it tests what speaks to the game: launch, handshake, commands, restarts, and faults,
which are asked for by a file `faults.json` in the folder (`Faults`).
"""

import argparse
import dataclasses
import json
import os
import stat
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from s2clientprotocol import sc2api_pb2 as api
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from mag.envs.starcraft.install import BUILDS, MAPS, PROGRAM
from mag.runtime import setup

REPOSITORY = Path(__file__).parents[2]
MOST_SECONDS = 900.0
"""A stand-in ends after so long, whatever happens."""
FIRST_ALLY_TYPE = 1900
"""Numbers of a map's own unit types lie beyond the game's."""


@dataclasses.dataclass
class Faults:
    """What goes wrong in a game process; steps are counted from its start."""

    launches: int = 10**9
    """Of how many processes, from the first on."""
    die_starting: bool = False
    sleep_starting: float = 0.0
    """Seconds before it listens."""
    crash_at: int = -1
    """Step at which it ends at once."""
    hang_at: int = -1
    """Step that is never answered."""
    error_at: int = -1
    """Step that is answered with an error."""
    garbage_at: int = -1
    """Step that is answered with bytes that are no message."""
    refuse_map: bool = False
    leak: int = 0
    """Bytes lost in each step."""
    stalker_health: float = 0.0
    """Health of Stalkers, where not the table's."""
    lose_unit: bool = False
    """Whether an ally never comes."""


def install(folder: Path, *maps: str, build: int = BUILDS["4.10"], **faults: Any) -> Path:
    """Lay the stand-in out as a game of that build with the map files of `maps`; returns what SC2PATH has to be."""
    program = folder / "Versions" / f"Base{build}" / PROGRAM
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH={REPOSITORY} exec {sys.executable} -m {__name__} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (folder / "Maps" / MAPS).mkdir(parents=True, exist_ok=True)
    for name in maps:
        (folder / "Maps" / MAPS / f"{name}.SC2Map").write_bytes(name.encode())
    set_faults(folder, **faults)
    return folder


def set_faults(folder: Path, **faults: Any) -> None:
    """Ask for other faults in the processes that start from now on."""
    Faults(**faults)
    (folder / "faults.json").write_text(json.dumps(faults))


def launches(folder: Path) -> list[int]:
    """The process numbers of all game processes started so far."""
    log = folder / "launches"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


class Command(NamedTuple):
    """The last order of an ally: a point to go to, or the tag of a unit to attack."""

    goal: tuple[float, float] | None
    target: int | None


class Match:
    """One battle, episode after episode, with the orders that the allies follow."""

    def __init__(self, map_name: str, seed: int, faults: Faults) -> None:
        import jax

        from mag.envs.smac_jax.battle import LOOPS_PER_SECOND, make_battle
        from mag.envs.smac_jax.loading import get_map

        self.map = get_map(map_name)
        self.faults = faults
        self.battle = make_battle(self.map, LOOPS_PER_SECOND, reload_varies=True)
        self.types = self.map.ally_types + self.map.enemy_types
        self.allies = self.battle.num_allies
        self.loop, self.born = 0, 0
        self._key = jax.random.key(seed)
        self._run = jax.jit(partial(run, self.battle), static_argnums=2)
        self.bring_units()

    def bring_units(self) -> None:
        """New units, with new tags."""
        from mag.envs.smac_jax.battle import start_units

        self.units = start_units(self.battle)
        self.born += 1
        self.tags = [1000 * self.born + index for index in range(len(self.types))]
        self.commands = [Command(None, None)] * self.allies

    def step(self, loops: int) -> None:
        """Let time pass; where nobody lives the map brings new units."""
        import jax
        import jax.numpy as jnp

        self.loop += loops
        if not np.any(np.asarray(self.units.health) > 0):
            self.bring_units()
            return
        self._key, key = jax.random.split(self._key)
        goal = np.array(self.units.position[: self.allies])
        moving, target = np.zeros(self.allies, bool), np.full(self.allies, -1, np.int32)
        for index, command in enumerate(self.commands):
            if command.goal is not None:
                goal[index], moving[index] = command.goal, True
            if command.target in self.tags:
                target[index] = self.tags.index(command.target)
        self.units = self._run(jax.tree.map(jnp.asarray, self.units), (goal, moving, target), loops, key)

    def kill(self, tags: list[int]) -> None:
        """End the units of these tags."""
        dead = np.isin(self.tags, tags)
        self.units = self.units._replace(health=np.where(dead, np.float32(0), self.units.health))

    def order(self, command: Any) -> None:
        """Note one unit_command of the protocol."""
        for tag in command.unit_tags:
            if tag not in self.tags[: self.allies]:
                continue
            index = self.tags.index(tag)
            if command.ability_id == 16:
                point = command.target_world_space_pos
                self.commands[index] = Command((point.x, point.y), None)
            elif command.ability_id == 23:
                self.commands[index] = Command(None, command.target_unit_tag)
            else:
                self.commands[index] = Command(None, None)

    def show(self, raw: Any) -> None:
        """Write the living units into the protocol's raw data."""
        kinds, ally_names = self.battle.kinds, [unit.name for unit in self.map.ally_types]
        position, health, shield, cooldown = (
            np.asarray(each)
            for each in (self.units.position, self.units.health, self.units.shield, self.units.cooldown)
        )
        for index, unit in enumerate(self.types):
            if health[index] <= 0 or (self.faults.lose_unit and index == 0):
                continue
            is_ally = index < self.allies
            own_type = FIRST_ALLY_TYPE + list(dict.fromkeys(ally_names)).index(unit.name) if is_ally else unit.number
            strange = self.faults.stalker_health if unit.name == "stalker" else 0.0
            shown = raw.units.add(
                tag=self.tags[index],
                owner=1 if is_ally else 2,
                unit_type=own_type,
                health=health[index],
                health_max=strange or kinds.health[index],
                shield=shield[index],
                shield_max=kinds.shield[index],
                weapon_cooldown=cooldown[index] * self.battle.ticks_per_second,
            )
            shown.pos.x, shown.pos.y = map(float, position[index])

    def ground(self, raw: Any) -> None:
        """Write the map's size and pathing grid into the protocol's start data."""
        import jax.numpy as jnp

        from mag.envs.smac_jax.terrain import is_walkable

        width, height = self.map.width, self.map.height
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        free = np.asarray(is_walkable(self.battle.terrain, jnp.asarray(np.stack([x, y], -1), jnp.float32)))
        raw.map_size.x, raw.map_size.y = width, height
        raw.pathing_grid.bits_per_pixel = 1
        raw.pathing_grid.size.x, raw.pathing_grid.size.y = width, height
        raw.pathing_grid.data = np.packbits(free.ravel()).tobytes()


def run(battle: Any, units: Any, orders: Any, loops: int, key: Any) -> Any:
    """The battle after some game loops in which the allies follow their orders."""
    import jax

    from mag.envs.smac_jax.rules import Chance, Orders, tick

    chances = jax.random.uniform(key, (loops, 2, len(battle.start)))
    orders = Orders(*orders)
    units = units._replace(target=jax.numpy.asarray(units.target).at[: battle.num_allies].set(orders.target))
    return jax.lax.scan(lambda units, chance: (tick(battle, units, orders, Chance(*chance)), None), units, chances)[0]


class Server:
    """Answers requests, one connection at a time."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.match: Any = None
        self.status = api.launched
        self.steps = 0
        self.lost: list[bytes] = []

    def talk(self, connection: ServerConnection) -> None:
        """Answer until the client goes; the program ends with its client."""
        try:
            while True:
                request = api.Request.FromString(connection.recv())
                if request.HasField("step") and self.goes_wrong(connection, request.id):
                    continue
                connection.send(self.answer(request).SerializeToString())
        except ConnectionClosed:
            pass
        finally:
            os._exit(0)

    def answer(self, request: Any) -> Any:
        """The right answer."""
        response = api.Response(id=request.id)
        name = request.WhichOneof("request")
        getattr(response, name).SetInParent()
        getattr(self, name)(getattr(request, name), response)
        response.status = self.status
        return response

    def goes_wrong(self, connection: ServerConnection, number: int) -> bool:
        """Whether this step was answered, or not, in a wrong way."""
        self.steps += 1
        self.lost.append(bytes(bytearray(self.faults.leak)))
        if self.steps == self.faults.crash_at:
            os._exit(3)
        if self.steps == self.faults.hang_at:
            time.sleep(MOST_SECONDS)
        if self.steps == self.faults.error_at:
            connection.send(api.Response(id=number, error=["the match was lost"]).SerializeToString())
        elif self.steps == self.faults.garbage_at:
            connection.send(b"\xff\xff\xff")
        else:
            return False
        return True

    def ping(self, request: Any, response: Any) -> None:
        del request
        response.ping.game_version, response.ping.base_build = "4.10.0.75689", BUILDS["4.10"]

    def create_game(self, request: Any, response: Any) -> None:
        name = Path(request.local_map.map_path).stem
        if self.faults.refuse_map or request.local_map.map_data != name.encode():
            response.create_game.error = api.ResponseCreateGame.InvalidMapData
            response.create_game.error_details = "the map cannot be read"
            return
        self.match, self.status = Match(name, request.random_seed, self.faults), api.init_game

    def join_game(self, request: Any, response: Any) -> None:
        assert request.options.raw
        response.join_game.player_id = 1
        self.status = api.in_game

    def game_info(self, request: Any, response: Any) -> None:
        del request
        self.match.ground(response.game_info.start_raw)

    def observation(self, request: Any, response: Any) -> None:
        del request
        response.observation.observation.game_loop = self.match.loop
        self.match.show(response.observation.observation.raw_data)

    def action(self, request: Any, response: Any) -> None:
        for action in request.actions:
            self.match.order(action.action_raw.unit_command)
            response.action.result.append(1)

    def step(self, request: Any, response: Any) -> None:
        self.match.step(request.count)
        response.step.simulation_loop = self.match.loop

    def debug(self, request: Any, response: Any) -> None:
        del response
        for each in request.debug:
            self.match.kill(list(each.kill_unit.tag))

    def save_replay(self, request: Any, response: Any) -> None:
        del request
        response.save_replay.data = b"a replay"

    def quit(self, request: Any, response: Any) -> None:
        del request, response
        os._exit(0)


def main() -> None:
    """Listen as the game does."""
    parser = argparse.ArgumentParser()
    for name in ("listen", "port", "dataDir", "tempDir"):
        parser.add_argument(f"-{name}")
    parser.add_argument("-headlessNoRender", action="store_true")
    options = parser.parse_args()
    assert options.listen == "127.0.0.1"
    setup()
    folder = Path(options.dataDir)
    with (folder / "launches").open("a") as log:
        log.write(f"{os.getpid()}\n")
    wanted = Faults(**json.loads((folder / "faults.json").read_text()))
    faults = wanted if len(launches(folder)) <= wanted.launches else Faults()
    if faults.die_starting:
        sys.exit("the licence has expired")
    time.sleep(faults.sleep_starting)
    threading.Timer(MOST_SECONDS, os._exit, (4,)).start()
    with serve(Server(faults).talk, options.listen, int(options.port), compression=None, max_size=None) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
