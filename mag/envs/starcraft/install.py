"""Where StarCraft II is installed, and which versions and maps there are."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from mag.errors import UsageError

BUILDS = {"4.10": 75689, "4.6.2": 69232}
"""Builds of the versions with which results on SMAC were published."""
EXPECTED = "4.10"
"""The version of nearly all published results; in other versions units have other figures."""
MAPS = "SMAC_Maps"
"""Folder of SMAC's map files, in the game's folder `Maps`."""
PROGRAM = "SC2_x64"
WHERE = "unpack Blizzard's Linux package of version 4.10 and set SC2PATH to its folder StarCraftII"


class Install(NamedTuple):
    """One build of the game."""

    root: Path
    build: int

    @property
    def program(self) -> Path:
        """The game's executable."""
        return self.root / "Versions" / f"Base{self.build}" / PROGRAM

    @property
    def version(self) -> str:
        """`4.10 (Base75689)`, or the build alone where its version is not known here."""
        names = [name for name, build in BUILDS.items() if build == self.build]
        return f"{names[0]} (Base{self.build})" if names else f"Base{self.build}"

    @property
    def difference(self) -> str | None:
        """Why win rates on this build cannot be compared with published ones; None on the build of those."""
        if self.build == BUILDS[EXPECTED]:
            return None
        return (
            f"published results are of {EXPECTED}, whose units differ in speed, damage and cost: win rates are not "
            f"comparable; {WHERE}"
        )


def game_folder() -> Path:
    """`$SC2PATH`, else `~/StarCraftII`. Raises UsageError where there is no such folder."""
    given = os.environ.get("SC2PATH")
    root = Path(given or "~/StarCraftII").expanduser()
    if not root.is_dir():
        what = f"SC2PATH is {given}, which is not a folder" if given else f"SC2PATH is not set and there is no {root}"
        raise UsageError(f"StarCraft II is missing: {what}; {WHERE}")
    return root


def builds(root: Path) -> list[int]:
    """The builds of the game in its folder, the newest last."""
    found = [re.fullmatch(r"Base(\d+)", path.name) for path in (root / "Versions").glob("Base*")]
    numbers = [int(match[1]) for match in found if match]
    return sorted(build for build in numbers if Install(root, build).program.is_file())


def find_game(version: str | None = None) -> Install:
    """The build of a version (`4.10`, or a build's number); by default 4.10 if it is installed, else the newest build.

    Raises UsageError if the game, or this version, is not installed.
    """
    root = game_folder()
    installed = builds(root)
    if not installed:
        raise UsageError(f"StarCraft II is missing: there is no Versions/Base*/{PROGRAM} in {root}; {WHERE}")
    wanted = BUILDS[EXPECTED] if version is None else BUILDS.get(version, version)
    matching = [build for build in installed if str(build) == str(wanted)]
    if version is None:
        return Install(root, (matching or installed)[-1])
    if not matching:
        there = ", ".join(Install(root, build).version for build in installed)
        raise UsageError(
            f"StarCraft II {version} is not installed in {root}, where there is {there}; install it, or leave "
            f"`version` out"
        )
    return Install(root, matching[0])


def find_map(root: Path, name: str) -> Path:
    """The file of one of SMAC's maps. Raises UsageError where it is missing."""
    path = root / "Maps" / MAPS / f"{name}.SC2Map"
    if not path.is_file():
        folder = path.parent
        there = sorted(each.stem for each in folder.glob("*.SC2Map")) if folder.is_dir() else []
        has = f"the folder has {', '.join(there)}" if there else "there are no maps in it"
        raise UsageError(f"the map file {path} is missing ({has}); unpack SMAC's maps into {folder}")
    return path
