"""What the pages say is true: names and paths exist, Python blocks run, and commands are understood."""

import ast
import importlib
import re
import shlex
import subprocess
import sys

import pytest

from mag.algorithms.registry import default_config
from mag.cli import diagnose, parsing, train
from mag.cli.main import dispatch
from mag.errors import UsageError
from mag.options import options
from mag.runs import zoo
from mag.runs.metrics import METRICS
from tests.support.pages import PAGES, ROOT, blocks, commands, name, names, paths


class Understood(Exception):  # noqa: N818 - what the test waits for
    """A command line was read without a mistake."""


@pytest.mark.parametrize(("file", "found"), names())
def test_the_code_that_pages_point_to_exists(file, found):
    module = importlib.import_module(file.replace("/", "."))
    for part in found.split("."):
        module = getattr(module, part)


def test_names_with_digits_are_among_them():
    # The table of Algorithm 1 names `TABLE_1`, the comparison of methods `G2A`.
    assert {"TABLE_1", "G2A"} <= {found for _, found in names()}


def test_a_link_to_code_leads_to_what_it_names():
    text = (ROOT / "docs/paper/algorithm-1.md").read_text()
    links = re.findall(r"\[`([\w/.]+): ([\w.]+)`\]\(\.\./\.\./([\w/.]+)#([\w.]+)\)", text)
    assert len(links) > 20
    assert [link for link in links if link[:2] != link[2:]] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_files_that_a_page_names_exist(page):
    assert [path for path in paths(page) if not (ROOT / path).exists()] == []


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder in which the pages' modules and maps lie, importable, as the working directory."""
    for page in PAGES:
        for block in blocks(page):
            if block.language == "python" and block.file:
                (tmp_path / block.file).write_text(block.text)
            elif block.language == "toml" and "allies" in block.text:
                of_the_game = re.search(r'^map = "(.+)"', block.text, re.MULTILINE)
                (tmp_path / f"{of_the_game[1] if of_the_game else 'my_map'}.toml").write_text(block.text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for each in [module for module in sys.modules if module.startswith("my_")]:  # of other tests
        monkeypatch.delitem(sys.modules, each)
    before = set(sys.modules)
    yield tmp_path
    for each in set(sys.modules) - before:
        if each.startswith("my_"):
            del sys.modules[each]


PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]


@pytest.mark.parametrize("page", PYTHON, ids=name)
def test_a_pages_python_runs(page, modules):
    """The blocks of a page run one after the other, as one program; those that are files are imported."""
    program = {"__name__": name(page)}
    for block in blocks(page):
        if block.language == "python" and block.file:
            importlib.import_module(block.file.removesuffix(".py"))
        elif block.language == "python":
            exec(compile(block.text, name(page), "exec"), program)


@pytest.fixture
def only_read(monkeypatch):
    """Commands stop once their words were read."""

    def stop(*args, **kwargs):
        raise Understood

    parse = parsing.parse_with_group  # by which `parse` parses, too
    for module in (parsing, diagnose):
        monkeypatch.setattr(module, "parse_with_group", lambda *args, **group: stop(parse(*args, **group)))
    monkeypatch.setattr(train, "base_config", lambda path: default_config("mag", "smac_jax/3s_vs_3z", "small", "tuned"))
    monkeypatch.setattr("mag.runs.train.train", stop)
    monkeypatch.setattr("mag.cli.train.HelpAsked", Understood)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_a_pages_commands_are_understood(page, modules, only_read):
    """Options, methods, environments, planners and studies exist; nothing is trained."""
    for command in commands(page):
        words = shlex.split(command)[1:]
        with pytest.raises(Understood):
            dispatch(words)
        for word in words:
            assert not word.startswith(("studies/", "results/")) or (ROOT / word).exists()
            assert not word.startswith("zoo/") or word.removeprefix("zoo/") in zoo.names()


def test_a_mistaken_command_would_be_found(modules, only_read):
    with pytest.raises(UsageError, match=r"mamba does not plan .*takes no option --planner.horizon"):
        dispatch(["train", "--algo", "mamba", "--planner.horizon", "3"])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_targets_of_make_exist(page):
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    lines = "\n".join(block.text for block in blocks(page) if block.language in ("", "text"))
    assert set(re.findall(r"\bmake (\w+)", lines)) <= targets


@pytest.mark.slow
def test_a_run_in_a_hurry(modules):
    """The commands of `In a hurry`, one after the other, in a process of their own."""
    text = (ROOT / "docs/first-run.md").read_text().partition("## In a hurry")[2].partition("## ")[0]
    for command in re.findall(r"^mag .*hello.*$", text, re.M):
        words = [sys.executable, "-m", "mag", *shlex.split(command)[1:]]
        subprocess.run(words, cwd=modules, check=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})
    assert (modules / "runs/hello/curve.png").exists()


def test_every_metric_is_in_the_glossary():
    """Names of metrics in the code, `part/what`, and the glossary's are the same."""
    parts = {found.partition("/")[0] for found in METRICS if "/" in found}
    pattern = re.compile(rf"({'|'.join(parts)})/[a-z_]+")
    used = set()
    for path in ROOT.glob("mag/**/*.py"):
        if path.name != "metrics.py":
            constants = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
            used |= {each.value for each in constants if isinstance(each.value, str) and pattern.fullmatch(each.value)}
    from mag.algorithms.mag.local_models import Errors

    used |= {f"models/{field}" for field in Errors._fields}
    assert used == {found for found in METRICS if "/" in found}


@pytest.mark.parametrize("algo", ["mag", "mamba", "attention-ppo", "commnet", "g2a"])
def test_every_option_is_explained(algo):
    found = options(default_config(algo, "smac_jax/3s_vs_3z", "small", "tuned"))
    assert [each.name for each in found if not each.help] == []
