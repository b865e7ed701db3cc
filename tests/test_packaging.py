"""What is installed from the built package is whole: it plays without the repository beside it."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mag.runs import zoo
from tests.support.pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*words, cwd, **env):
    """What a program prints; its errors where it fails."""
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The source archive, and the wheel built from what is in it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("mag", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    hook = "import setuptools.build_meta as build, sys; build.build_{}(sys.argv[1])"
    run(sys.executable, "-c", hook.format("sdist"), out, cwd=source)
    archive = next(out.glob("*.tar.gz"))
    with tarfile.open(archive) as file:
        file.extractall(out, filter="data")
    run(sys.executable, "-c", hook.format("wheel"), out, cwd=out / archive.name.removesuffix(".tar.gz"))
    return archive, next(out.glob("*.whl"))


def test_the_wheel_holds_all_files_of_the_package(built):
    with zipfile.ZipFile(built[1]) as wheel:
        held = {name for name in wheel.namelist() if name.startswith("mag/")}
    files = (path for path in (ROOT / "mag").rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert {path.relative_to(ROOT).as_posix() for path in files} == held


def test_the_wheel_describes_the_project(built):
    with zipfile.ZipFile(built[1]) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        described = wheel.read(name).decode()
    assert "License-Expression: MIT" in described
    assert described.count("\nProvides-Extra: ") == len(PROJECT["optional-dependencies"])
    assert "# mag\n" in described  # the README


def test_versions_agree():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {PROJECT['version']}\n" in citation
    assert f"\n## {PROJECT['version']}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_extras_are_explained():
    page = (ROOT / "docs/install.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.M)) == set(PROJECT["optional-dependencies"])


def test_the_lock_holds_what_the_project_needs():
    """Exact versions of all dependencies, and of what tests and documentation need."""
    locked = {canonical(name) for name in re.findall(r"^([\w.-]+)==", lock(), re.M)}
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["dev"], *extras["docs"]]
    needed = {re.split(r"[\[>=<]", each)[0].lower() for each in wanted}
    assert needed - locked == set()


def test_the_lock_installs_on_the_first_python_that_is_allowed():
    lowest = PROJECT["requires-python"].removeprefix(">=") + ".0"
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)$", lock(), re.M))
    installed = [metadata.distribution(name) for name, version in locked.items() if version == version_of(name)]
    assert len(installed) > len(locked) / 2
    assert [
        f"{each.name} needs Python {each.metadata['Requires-Python']}"
        for each in installed
        if lowest not in SpecifierSet(each.metadata["Requires-Python"] or "")
    ] == []


def version_of(name):
    """The installed version of a package; None where it is not installed."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)


def lock():
    return (ROOT / "requirements.lock").read_text()


def canonical(name):
    """A distribution's name as all spellings of it are compared."""
    return re.sub("[-_.]+", "-", name).lower()


def closure(requirements):
    """The distributions that requirements bring, theirs among them, by name; as installed here."""
    found, seen, waiting = {}, set(), [(Requirement(text), "") for text in requirements]
    while waiting:
        wanted, extra = waiting.pop()
        if wanted.marker and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonical(wanted.name)
        found[name] = metadata.distribution(name)
        for asked in {"", *wanted.extras}:
            if (name, asked) not in seen:
                seen.add((name, asked))
                waiting += [(Requirement(text), asked) for text in found[name].requires or ()]
    return found


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """An environment with the wheel and what it says it needs: links to those packages here, and to nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "venv/lib" / version / "site-packages"
    for distribution in closure(PROJECT["dependencies"]).values():
        for top in {path.parts[0] for path in distribution.files} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(distribution.locate_file(top))
    with zipfile.ZipFile(built[1]) as wheel:
        wheel.extractall(packages)
    return folder / "venv/bin/python"


def test_the_environment_holds_nothing_that_is_not_declared(installed, tmp_path):
    known = closure(PROJECT["dependencies"])
    assert {"jax", "numpy", "flax"} <= known.keys()  # the second needed by the first, the third by JaxMARL
    here = "from importlib import metadata; print(*(each.name for each in metadata.distributions()))"
    held = {canonical(name) for name in run(installed, "-c", here, cwd=tmp_path, PYTHONPATH="").split()}
    assert held == {*known, PROJECT["name"]}
    assert not held & {"pytest", "mkdocs", "pettingzoo", "pip"}


def test_it_plays_from_anywhere(installed, tmp_path):
    """Trains, watches a policy of the zoo on a map of the package, and finds the page, outside the repository."""
    where = run(installed, "-c", "import mag; print(mag.__file__)", cwd=tmp_path, PYTHONPATH="")
    assert where.startswith(str(installed.parents[1]))
    train = ("train", "--env", "probe/one-step", "--algo", "commnet", "--size", "debug", "--run", "hello")
    assert "finished hello" in run(installed, "-m", "mag", *train, cwd=tmp_path, PYTHONPATH="")
    name = zoo.names()[0]
    run(installed, "-m", "mag", "watch", f"zoo/{name}", "--episodes", "1", cwd=tmp_path, PYTHONPATH="")
    assert "<canvas" in (tmp_path / f"{name}-battles.html").read_text()
