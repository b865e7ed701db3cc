"""Options as dataclass fields: found, read from text, kept within bounds and suggested."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from mag.errors import UsageError
from mag.options import check_bounds, choice, convert, did_you_mean, flatten, number, options, override, to_json, values


@dataclass(frozen=True)
class Inner:
    """A group."""

    rate: float = number(0.5, above=0, most=1)
    """Learning rate,
    on two lines."""
    kind: Literal["adam", "muon"] = choice("adam")
    """Optimiser."""


@dataclass(frozen=True)
class Base:
    """Options of a base class."""

    steps: int = number(10, least=1, below=100, source=None)
    """Steps."""
    loud: bool = choice(False)
    out: Path | None = choice(None, source=None)


@dataclass(frozen=True)
class Config(Base):
    """A configuration with a group."""

    inner: Inner = field(default_factory=Inner)


def test_options_have_names_helps_bounds_and_sources():
    found = {option.name: option for option in options(Config())}
    assert list(found) == ["steps", "loud", "out", "inner.rate", "inner.kind"]
    assert found["inner.rate"].help == "Learning rate, on two lines."
    assert found["steps"].help == "Steps." and found["loud"].help == ""
    assert (found["steps"].source, found["inner.rate"].source) == (None, "paper")
    assert str(found["steps"].bounds) == "at least 1 and below 100"
    assert str(found["inner.rate"].bounds) == "above 0 and at most 1"
    assert str(found["out"].bounds) == "a finite number"


def test_overriding_takes_nested_and_dotted_names_and_leaves_the_rest():
    config = override(Config(), {"steps": 20, "inner": {"kind": "muon"}, "inner.rate": 0.25})
    assert values(config) == {"steps": 20, "loud": False, "out": None, "inner.rate": 0.25, "inner.kind": "muon"}
    assert values(Config())["inner.rate"] == 0.5
    assert override(Config(), to_json(config)) == config


@pytest.mark.parametrize(
    ("kind", "given", "read"),
    [
        (int, "7", 7),
        (int, "1e6", 1_000_000),
        (int, "2.0", 2),
        (int, 3.0, 3),
        (float, "1e-3", 0.001),
        (float, 2, 2.0),
        (bool, "False", False),
        (bool, "yes", True),
        (bool, True, True),
        (str, "7", "7"),
        (Literal["a", "b"], "b", "b"),
        (Path | None, "x/y", Path("x/y")),
        (Path | None, None, None),
    ],
)
def test_text_and_values_are_read_as_the_options_type(kind, given, read):
    found = convert("--option", kind, given)
    assert found == read and type(found) is type(read)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (int, "1.5", "--option: '1.5' is not a whole number"),
        (int, 1.5, "--option: 1.5 is not a whole number"),
        (int, "nan", "'nan' is not a whole number"),
        (int, "9" * 5000, "is not a whole number"),
        (int, True, "True is not a whole number"),
        (int, None, "None is not a whole number"),
        (float, "much", "'much' is not a number"),
        (bool, "maybe", "'maybe' is n"),
        (bool, 1, "1 is n"),
        (Literal["a", "b"], "c", "'c' is not one of a, b"),
        (str, 5, "5 is not "),
    ],
)
def test_values_of_another_type_are_refused_by_the_options_name(kind, given, message):
    with pytest.raises(UsageError) as error:
        convert("--option", kind, given)
    assert str(error.value).startswith("--option: ") and message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be at least 1 and below 100"),
        ({"steps": 100}, "steps is 100; it must be at least 1 and below 100"),
        ({"inner.rate": 0}, r"inner\.rate is 0\.0; it must be above 0 and at most 1"),
        ({"inner.rate": "nan"}, r"inner\.rate is nan; it must be a finite number"),
        ({"inner.rate": "inf"}, r"inner\.rate is inf; it must be a finite number"),
    ],
)
def test_numbers_out_of_bounds_are_refused_with_what_is_allowed(changes, message):
    with pytest.raises(UsageError, match=message):
        check_bounds(override(Config(), changes))
    check_bounds(override(Config(), {"steps": 99, "inner.rate": 1}))


def test_unknown_options_are_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown option inner\.rat \(did you mean inner\.rate\?\)"):
        override(Config(), {"inner.rat": 1})


@pytest.mark.parametrize(
    ("word", "meant"),
    [("--inner.rats", "--inner.rate"), ("--rate", "--inner.rate"), ("--stpes", "--steps"), ("--xyz", None)],
)
def test_the_nearest_name_counts_whole_or_by_its_end(word, meant):
    known = ["--steps", "--inner.rate", "--inner.kind"]
    assert did_you_mean(word, known) == (f" (did you mean {meant}?)" if meant else "")


def test_flatten_names_nested_options():
    assert flatten({"a": 1, "b": {"c": {"d": 2}}}) == {"a": 1, "b.c.d": 2}
