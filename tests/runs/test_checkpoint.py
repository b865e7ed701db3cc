"""Checkpoints: whole or absent, the newest usable one, the last n."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mag.errors import UsageError
from mag.runs import checkpoint
from mag.runs.checkpoint import TEMPORARY, Checkpoints


class Part(eqx.Module):
    weight: jax.Array
    name: str = eqx.field(static=True)


def make_state(value=1.0):
    """One leaf of every sort that a run's state has."""
    return {
        "module": Part(jnp.full((2, 3), value), "static"),
        "keys": jax.random.split(jax.random.key(3), 2),
        "other_key": jax.random.key(4, impl="rbg"),
        "old_key": jnp.asarray([1, 2], jnp.uint32),
        "half": jnp.asarray([value], jnp.bfloat16),
        "flag": jnp.asarray(True),
        "counter": jnp.asarray(7, jnp.int32),
        "empty": jnp.zeros((0, 4)),
        "nothing": None,
        "not_finite": jnp.asarray([jnp.inf, jnp.nan, -0.0]),
    }


def bits(tree):
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    plain = [
        jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf for leaf in leaves
    ]
    return [(str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()) for leaf in plain]


def test_what_is_restored_is_what_was_saved_bit_for_bit(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    checkpoints.save(make_state(0.1), {"wall_seconds": 0.1 + 0.2}, 5)
    restored = checkpoints.restore(make_state(9.0))
    assert bits(restored.state) == bits(make_state(0.1))
    assert jax.tree.structure(restored.state) == jax.tree.structure(make_state())
    assert str(jax.random.key_impl(restored.state["other_key"])) == "rbg"
    assert restored.progress == {"wall_seconds": 0.1 + 0.2}
    assert restored.damaged == []


def test_a_restored_state_can_be_donated(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(make_state(), {}, 1)
    weight = checkpoints.restore(make_state()).state["module"].weight
    doubled = jax.jit(lambda x: 2 * x, donate_argnums=0)(weight)
    np.testing.assert_array_equal(doubled, np.full((2, 3), 2.0))


def test_no_checkpoint_is_no_error(tmp_path):
    assert Checkpoints(tmp_path / "absent", keep=2).restore(make_state()) is None


def test_the_last_n_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for iteration in (2, 9, 10):
        checkpoints.save(make_state(), {}, iteration)
    assert checkpoints.iterations() == [9, 10]


def spoil_bytes(path):
    """Flip one bit in the largest file."""
    file = max((each for each in path.rglob("*") if each.is_file()), key=lambda each: each.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def spoil_length(path):
    """Lose the end of the largest file, as a full disk does."""
    file = max((each for each in path.rglob("*") if each.is_file()), key=lambda each: each.stat().st_size)
    file.write_bytes(file.read_bytes()[:-10])


def spoil_manifest(path):
    (path / "manifest.json").unlink()


def spoil_progress(path):
    (path / "progress.json").write_text("{}")


def spoil_kind(path):
    (path / "manifest.json").write_text("[]")


SPOILERS = [spoil_bytes, spoil_length, spoil_manifest, spoil_progress, spoil_kind]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_damaged_newest_is_told_and_the_one_before_used(tmp_path, spoil):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(make_state(1.0), {"iteration": 1}, 1)
    spoil(checkpoints.save(make_state(2.0), {"iteration": 2}, 2))
    restored = checkpoints.restore(make_state())
    assert restored.progress == {"iteration": 1}
    assert bits(restored.state) == bits(make_state(1.0))
    assert len(restored.damaged) == 1 and str(tmp_path / "2") in restored.damaged[0]


def test_a_checkpoint_that_training_replaces_while_it_is_read_costs_nothing(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(make_state(1.0), {"iteration": 1}, 1)
    load = checkpoint.load_arrays

    def load_late(template, folder):
        if folder.parent.name == "1":
            checkpoints.save(make_state(2.0), {"iteration": 2}, 2)  # removes the one that is being read
        return load(template, folder)

    monkeypatch.setattr(checkpoint, "load_arrays", load_late)
    restored = checkpoints.restore(make_state())
    assert restored.progress == {"iteration": 2} and restored.damaged == []
    assert bits(restored.state) == bits(make_state(2.0))


def test_the_next_save_replaces_what_was_damaged(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(make_state(), {}, 10)
    spoil_bytes(checkpoints.save(make_state(), {}, 20))
    checkpoints.save(make_state(), {}, 15)
    assert checkpoints.iterations() == [10, 15]


def test_strangers_among_the_checkpoints_are_left_out(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    (tmp_path / "007").mkdir()
    (tmp_path / "8").touch()
    (tmp_path / ".incomplete-5").touch()
    checkpoints.save(make_state(), {}, 1)
    checkpoints.save(make_state(), {}, 2)
    assert checkpoints.iterations() == [2]
    assert (tmp_path / "007").exists() and (tmp_path / "8").exists()


def test_saving_the_same_iteration_again_replaces_it(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    spoil_bytes(checkpoints.save(make_state(1.0), {}, 1))
    checkpoints.save(make_state(2.0), {}, 1)
    assert bits(checkpoints.restore(make_state()).state) == bits(make_state(2.0))


def test_a_kill_while_the_replaced_one_is_removed_costs_nothing(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(make_state(1.0), {}, 1)

    def killed(path, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("mag.runs.folder.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(make_state(2.0), {}, 1)
    monkeypatch.undo()
    assert bits(checkpoints.restore(make_state()).state) == bits(make_state(2.0))
    checkpoints.save(make_state(3.0), {}, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["2"]


def test_a_kill_before_the_new_one_takes_its_place_costs_nothing(tmp_path, monkeypatch):
    checkpoints, rename = Checkpoints(tmp_path, keep=1), Path.rename
    checkpoints.save(make_state(1.0), {}, 1)

    def killed(self, target):
        if self.name.startswith(TEMPORARY):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(make_state(2.0), {}, 1)
    monkeypatch.undo()
    checkpoints.remove_leftovers()  # as a run does when it starts
    assert bits(checkpoints.restore(make_state()).state) == bits(make_state(1.0))
    checkpoints.save(make_state(3.0), {}, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["2"]


def test_all_damaged_is_an_error_that_says_what_to_do(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for iteration in (1, 2):
        spoil_bytes(checkpoints.save(make_state(), {}, iteration))
    with pytest.raises(UsageError, match=r"none of the checkpoints .* can be used.*--run"):
        checkpoints.restore(make_state())


def test_an_unfinished_save_is_ignored_and_cleared(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    (tmp_path / (TEMPORARY + "3")).mkdir()
    assert checkpoints.restore(make_state()) is None
    checkpoints.save(make_state(), {}, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["4"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counter": jnp.zeros(2, jnp.int32)}, r"counter is int32\[2\] here and int32\[\] there"),
        ({"added": jnp.zeros(1)}, r"added is float32\[1\] here and nothing there"),
        ({"flag": None}, "holds flag, which is not known here"),
    ],
)
def test_another_structure_is_named(tmp_path, changes, message):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(make_state(), {}, 1)
    with pytest.raises(UsageError, match=message):
        checkpoints.restore(make_state() | changes)
