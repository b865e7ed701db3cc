"""What is installed from the built package is whole: it plays without the repository beside it."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib import metadata

import pytest
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
    locked = {re.sub("[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", lock(), re.M)}
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


@pytest.fixture
def installed(built, tmp_path):
    """An environment with the wheel, which finds its dependencies in this one and the repository nowhere."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = tmp_path / "venv/lib" / version / "site-packages"
    dependencies = [path for path in sys.path if path.endswith("site-packages")] or [sysconfig.get_path("purelib")]
    (packages / "dependencies.pth").write_text("\n".join(dependencies) + "\n")
    with zipfile.ZipFile(built[1]) as wheel:
        wheel.extractall(packages)
    return tmp_path / "venv/bin/python"


@pytest.mark.slow
def test_it_plays_from_anywhere(installed, tmp_path):
    """Trains, watches a policy of the zoo on a map of the package, and finds the page, outside the repository."""
    here = tmp_path / "elsewhere"
    here.mkdir()
    where = run(installed, "-c", "import mag; print(mag.__file__)", cwd=here, PYTHONPATH="")
    assert str(tmp_path / "venv") in where
    train = ("train", "--env", "probe/one-step", "--algo", "commnet", "--size", "debug", "--run", "hello")
    assert "finished hello" in run(installed, "-m", "mag", *train, cwd=here, PYTHONPATH="")
    for name in zoo.names()[:1]:
        run(installed, "-m", "mag", "watch", f"zoo/{name}", "--episodes", "1", cwd=here, PYTHONPATH="")
        assert "<canvas" in (here / f"{name}-battles.html").read_text()
