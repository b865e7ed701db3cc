"""The site's list of error messages: every call that raises one has its row, and what is said is what is listed."""

import ast
import importlib.util
import re

import numpy as np
import pytest

from mag.algorithms.registry import default_config
from mag.cli.main import dispatch
from mag.envs.host import ContractError, record_of, time_step
from mag.envs.probe import specs
from mag.envs.smac_jax.loading import load_map
from mag.errors import UsageError
from mag.experiments.study import load_study
from mag.options import override
from tests.support.pages import ROOT

SPEC = importlib.util.spec_from_file_location("docs_hooks_messages", ROOT / "docs/hooks/messages.py")
listing = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(listing)

SILENT = {
    "AttributeError", "BrokenPipeError", "Damaged", "EOFError", "HelpAsked", "Interrupted", "KeyboardInterrupt",
    "OSError", "StoppedError", "TypeError", "ValueError",
}  # fmt: skip
"""Errors that users do not read: other code catches them, or they are for callers in Python."""
PASSED_ON = {"mag/play/seats.py: PlayError(payload.decode())", "mag/envs/checking.py: UsageError(str(error))"}
"""What raises a message that another call makes."""

RELAY = specs()["relay"]


@pytest.fixture(scope="module")
def found():
    return listing.messages()


def raised(tree):
    """The calls that a module raises; a raised name holds an error that was made above."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield node.exc


def test_every_call_that_raises_a_message_has_a_row(found):
    rows = {(each.path, each.line) for each in found}
    missing = [
        f"{path}: {ast.unparse(call)}"
        for path, tree in listing.trees().items()
        for call in raised(tree)
        if listing.called(call) not in SILENT and (path, call.lineno) not in rows
    ]
    assert set(missing) == PASSED_ON


def test_every_row_says_something(found):
    assert not [each for each in found if listing.is_variable(each.text) or not re.search(r"[a-z]{3}", each.text)]
    assert all(listing.sections(found).values()), "a group without messages"


def study(tmp_path, text):
    (tmp_path / "s.toml").write_text(text)
    load_study(tmp_path / "s.toml")


def a_map(tmp_path, text):
    (tmp_path / "m.toml").write_text(text)
    load_map(tmp_path / "m.toml")


MISTAKES = {
    "command": lambda path: dispatch(["trian"]),
    "option": lambda path: override(default_config("mamba", "probe/relay", "debug", "tuned"), {"sede": 1}),
    "value": lambda path: override(default_config("mamba", "probe/relay", "debug", "tuned"), {"seed": "x"}),
    "unused option": lambda path: dispatch(["train", "--algo", "mamba", "--planner.horizon", "3"]),
    "map": lambda path: a_map(path, 'name = "m"\nlimit = 0\n'),
    "unknown field": lambda path: a_map(path, 'name = "m"\ncolour = 0\n'),
    "study": lambda path: study(path, 'envs = []\nmethods = ["mag"]\nseeds = 1\n'),
    "time step": lambda path: record_of(RELAY, time_step(RELAY, obs=np.full((RELAY.n_agents, RELAY.obs_dim), np.nan))),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_said_is_listed(found, tmp_path, mistake):
    with pytest.raises((UsageError, ContractError)) as error:
        MISTAKES[mistake](tmp_path)
    texts = {each.text for each in found if not each.text.startswith("{unknown}")}
    patterns = (".*".join(map(re.escape, re.split(r"\{[^}]*\}", text))) for text in texts)
    assert any(re.fullmatch(pattern, str(error.value), re.S) for pattern in patterns), str(error.value)
