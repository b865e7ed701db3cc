"""Saving a run so that it goes on as if it had never stopped.

A checkpoint is a folder named after its iteration: the arrays of the state (written by Orbax, no pickle),
`progress.json` (the host's counters), `structure.json` (names, shapes and types of the arrays) and
`manifest.json` (a SHA-256 of each file). It is written under another name and renamed when complete, so it
is whole or absent. If a disk damages it later, the manifest shows that, and the checkpoint before it is used.
"""

import errno
import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from mag.errors import UsageError
from mag.runs.folder import REPLACED, put_back, replace

TEMPORARY = ".incomplete-"


class Leaf(NamedTuple):
    """One array of a state as it is stored; PRNG keys are stored as their integers."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    key_impl: str | None


class Restored(NamedTuple):
    """A checkpoint read back."""

    state: Any
    progress: dict[str, Any]
    damaged: list[str]
    """One sentence for each newer checkpoint that could not be used."""


class Damaged(Exception):  # noqa: N818 - a state of a file
    """A checkpoint that does not match its manifest."""


class Checkpoints:
    """The newest `keep` checkpoints of a run, in `folder`."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def iterations(self) -> list[int]:
        """Iterations that have a checkpoint, in order."""
        if not self.folder.is_dir():
            return []
        names = [path.name for path in self.folder.iterdir() if path.is_dir()]
        return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))

    def save(self, state: Any, progress: dict[str, Any], iteration: int) -> Path:
        """Write a checkpoint; remove older ones beyond `keep`, and newer ones, which were found damaged."""
        place = self.folder / str(iteration)
        self.remove_leftovers()
        draft = self.folder / (TEMPORARY + place.name)
        draft.mkdir(parents=True)
        arrays = stored_arrays(state)
        write_arrays(draft / "state", arrays)
        (draft / "structure.json").write_text(json.dumps(structure(state)))
        (draft / "progress.json").write_text(json.dumps(progress))
        (draft / "manifest.json").write_text(json.dumps(digests(draft)))
        replace(place, draft)
        saved = self.iterations()
        older = [number for number in saved if number <= iteration]
        for number in set(saved) - set(older[-self.keep :]):
            shutil.rmtree(self.folder / str(number))
        return place

    def remove_leftovers(self) -> None:
        """Remove what an interrupted save, or a replaced checkpoint, has left behind.

        A checkpoint that was to be replaced has its place back where the new one had not taken it.
        """
        for replaced in self.folder.glob(REPLACED + "*"):
            put_back(replaced.with_name(replaced.name.removeprefix(REPLACED)))
        for leftover in self.folder.glob(TEMPORARY + "*"):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()

    def restore(self, template: Any) -> Restored | None:
        """The newest usable checkpoint; None if there are no checkpoints at all.

        `template` is a state of the same structure (its values are not used). The run may be training meanwhile, and
        replace the checkpoints. Raises UsageError where every checkpoint is damaged, or where the newest whole one
        holds a state of another structure.
        """
        damaged: list[str] = []
        saved = self.iterations()
        for iteration in reversed(saved):
            path = self.folder / str(iteration)
            try:
                progress = verified_progress(path)
                check_structure(template, path)
                return Restored(load_arrays(template, path / "state"), progress, damaged)
            except (Damaged, OSError, ValueError) as problem:
                if self.iterations()[-1:] != saved[-1:]:  # read while training replaced it
                    return self.restore(template)
                if not isinstance(problem, Damaged):
                    raise
                damaged.append(f"checkpoint {path} is damaged ({problem}) and was left out")
        if damaged:
            raise UsageError(
                f"none of the checkpoints in {self.folder} can be used: {'; '.join(damaged)}; "
                "restore the folder from a copy or start again with another --run"
            )
        return None


def structure(state: Any) -> list[Leaf]:
    """The arrays of a state in order, as they are stored."""
    leaves = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(eqx.filter(state, eqx.is_array)):
        impl = str(jax.random.key_impl(leaf)) if is_key(leaf) else None
        stored = jax.eval_shape(jax.random.key_data, leaf) if impl else leaf
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        leaves.append(Leaf(name, tuple(stored.shape), str(stored.dtype), impl))
    return leaves


def stored_arrays(state: Any) -> dict[str, np.ndarray]:
    """The arrays of a state on the host, by position; empty ones, which Orbax refuses, are left out."""
    leaves = jax.tree.leaves(eqx.filter(state, eqx.is_array))
    plain = [jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in leaves]
    return {str(index): np.asarray(leaf) for index, leaf in enumerate(jax.device_get(plain)) if leaf.size}


def is_key(leaf: Any) -> bool:
    """Whether an array holds typed PRNG keys."""
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def write_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays to `folder`. Raises OSError if that fails."""
    try:
        with checkpointer() as orbax:
            orbax.save(folder.absolute(), arrays)
    except ValueError as error:  # Orbax raises it on a full disk
        raise OSError(errno.EIO, str(error).partition("\n")[0][:200], str(folder)) from error


def load_arrays(template: Any, folder: Path) -> Any:
    """A state like `template` with the values stored in `folder`."""
    with checkpointer() as orbax:
        arrays = orbax.restore(folder.absolute())
    dynamic, static = eqx.partition(template, eqx.is_array)
    leaves, definition = jax.tree.flatten(dynamic)
    loaded = []
    for index, leaf in enumerate(leaves):
        # A copy: the next iteration donates its input, and a borrowed host buffer cannot be given away.
        value = jax.numpy.array(arrays[str(index)], copy=True) if leaf.size else leaf
        if is_key(leaf) and leaf.size:
            value = jax.random.wrap_key_data(value, impl=jax.random.key_impl(leaf))
        loaded.append(value)
    return eqx.combine(jax.tree.unflatten(definition, loaded), static)


def checkpointer() -> Any:
    """Orbax, silent and without compression, which costs seconds and gains little on parameters.

    Of several processes each reads and writes by itself, without waiting for the others.
    """
    import orbax.checkpoint as ocp

    for name in ("absl", "orbax"):
        logging.getLogger(name).setLevel(logging.ERROR)
    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=str(own)
    )
    handler = ocp.PyTreeCheckpointHandler(use_compression=False, multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def verified_progress(path: Path) -> dict[str, Any]:
    """The progress stored in a checkpoint whose files all match the manifest; raises Damaged otherwise."""
    try:
        expected = read_json(path / "manifest.json")
        if not isinstance(expected, dict):
            raise Damaged("manifest.json is no manifest")
        found = digests(path)
        wrong = sorted(name for name in expected | found if expected.get(name) != found.get(name))
        if wrong:
            raise Damaged(f"{wrong[0]} does not match the manifest")
        return read_json(path / "progress.json")
    except (OSError, ValueError) as error:
        raise Damaged(str(error)) from error


def check_structure(template: Any, path: Path) -> None:
    """Raise UsageError where the checkpoint's arrays are not those of `template`."""
    stored = [Leaf(name, tuple(shape), *rest) for name, shape, *rest in read_json(path / "structure.json")]
    wanted = structure(template)
    if stored == wanted:
        return
    by_name = {leaf.name: leaf for leaf in stored}
    for leaf in wanted:
        other = by_name.pop(leaf.name, None)
        if other != leaf:
            saved = f"{other.dtype}{list(other.shape)}" if other else "nothing"
            raise UsageError(
                f"checkpoint {path} is of another program version or environment: {leaf.name} is "
                f"{leaf.dtype}{list(leaf.shape)} here and {saved} there; use the version that wrote it, or "
                "another --run"
            )
    raise UsageError(
        f"checkpoint {path} is of another program version or environment: it holds "
        f"{next(iter(by_name), 'other arrays')}, which is not known here; use the version that wrote "
        "it, or another --run"
    )


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder` except the manifest itself."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())
