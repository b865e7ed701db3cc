"""The error messages of the package as they stand in its code, what varies in {braces}, and what to do about them."""

import ast
import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ERRORS = ("UsageError", "PlayError", "GameError", "ContractError")
"""The errors whose messages users read."""
FAIL = "fail"
"""The function of the command line that prints a message and exits with code 2."""


class Group(NamedTuple):
    """Messages that ask for the same."""

    title: str
    to_do: str
    places: tuple[str, ...]
    """Beginnings of the modules' paths."""


GROUPS = (
    Group(
        "Map and unit files",
        "Mend the field named, in the line named: [maps of your own](../environments/smac_jax.md#maps-of-your-own) and "
        "[StarCraft's](../environments/starcraft.md) show every field.",
        ("mag/envs/smac_jax/loading.py", "mag/envs/smac_jax/source.py", "mag/envs/starcraft/scenario.py"),
    ),
    Group(
        "StarCraft II",
        "`mag doctor` says what is missing and tries the game. What the game does wrong while a run plays costs an "
        "episode; after several failures in a row the run is saved and ended.",
        ("mag/envs/starcraft/",),
    ),
    Group(
        "Environments",
        "`mag envs` lists those that there are. What a message says of your own environment is to be mended in its "
        "module: [an environment](../extend/environment.md), [one outside JAX](../extend/host-environment.md).",
        ("mag/envs/", "mag/play/"),
    ),
    Group(
        "Studies and reports",
        "Mend the field named, in the line of the study's file: [studies and reports](../studies.md).",
        ("mag/experiments/",),
    ),
    Group(
        "Runs, checkpoints and trained policies",
        "A folder is one run: [runs and resume](../runs.md), [trained policies](../zoo.md).",
        ("mag/runs/",),
    ),
    Group(
        "Testing, watching, measuring",
        "Give a run that has what the command needs; [the command line](../command-line.md) says what that is.",
        ("mag/reports/",),
    ),
    Group(
        "Methods, planners and their options",
        "Change one of the options named, or leave it out: [all options with their bounds](configuration.md).",
        ("mag/algorithms/", "mag/planners/", "mag/learning/", "mag/options.py"),
    ),
    Group(
        "Command line and machine",
        "`mag COMMAND --help` shows what a command takes, `mag doctor` what this machine has.",
        ("mag/cli/", "mag/"),
    ),
)
"""All messages; a module belongs to the first group that has its place."""


class Message(NamedTuple):
    """A message and where it is made."""

    path: str
    line: int
    text: str


Functions = dict[str, ast.FunctionDef]


def trees() -> dict[str, ast.Module]:
    """The package's modules by path."""
    paths = sorted((ROOT / "mag").rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in paths}


def messages() -> list[Message]:
    """Every message, in the order of modules and lines."""
    found, modules = [], trees()
    functions = {each.name: each for tree in modules.values() for each in functions_in(tree)}
    makers = {name: each for name, each in functions.items() if makes_an_error(each)}
    texts = {name: each for name, each in functions.items() if ast.unparse(each.returns or ast.Constant("")) == "str"}
    for path, tree in modules.items():
        inside = {id(node) for maker in functions_in(tree) if makes_an_error(maker) for node in ast.walk(maker)}
        reader = Reader(path, makers, texts)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and id(node) not in inside:
                found += [Message(path, node.lineno, text) for text in reader.said_by(node)]
    return sorted(found)


def functions_in(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """A module's functions and methods."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def makes_an_error(function: ast.FunctionDef) -> bool:
    """Whether a function returns an error for others to raise."""
    return function.returns is not None and ast.unparse(function.returns) in (*ERRORS, "Exception")


class Reader:
    """Reads the messages that a module's calls make."""

    def __init__(self, path: str, makers: Functions, texts: Functions) -> None:
        """`makers`: functions that return errors; `texts`: functions that return texts."""
        self._module = path.removesuffix(".py").replace("/", ".")
        self._makers, self._texts = makers, texts

    def said_by(self, call: ast.Call) -> Iterator[str]:
        """The texts of a call that makes an error, one for each of its cases; none for any other call."""
        name = called(call)
        if isinstance(call.func, ast.Name) and name in (*ERRORS, FAIL) and call.args:
            if not passes_on(call.args[0]):
                yield from self.cases(call.args[0], {})
        elif isinstance(call.func, ast.Attribute) and name in self._makers and may_be(call, self._makers[name]):
            yield from self.inlined(call, self._makers[name], {})

    def inlined(self, call: ast.Call, function: ast.FunctionDef, around: dict[str, str]) -> Iterator[str]:
        """What a function returns, its parameters replaced by a call's arguments."""
        names = [each.arg for each in function.args.args if each.arg != "self"]
        given = {name: next(self.cases(value, around)) for name, value in zip(names, call.args, strict=False)}
        given = {name: text for name, text in given.items() if not is_variable(text)}
        for node in ast.walk(function):
            if isinstance(node, ast.Return) and node.value is not None:
                value = node.value
                inner = value.args[0] if isinstance(value, ast.Call) and called(value) in ERRORS else value
                inner = inner.args[0] if isinstance(inner, ast.Call) and called(inner) in ERRORS else inner
                yield from self.cases(inner, given)

    def cases(self, node: ast.expr, given: dict[str, str]) -> Iterator[str]:
        """The texts of an expression; `given`: texts of names."""
        if isinstance(node, ast.IfExp):
            yield from self.cases(node.body, given)
            yield from self.cases(node.orelse, given)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self._texts:
            yield from self.inlined(node, self._texts[node.func.id], given)
        elif isinstance(node, ast.JoinedStr):
            yield "".join(self.part(part, given) for part in node.values)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            yield next(self.cases(node.left, given)) + next(self.cases(node.right, given))
        elif isinstance(node, ast.Constant):
            yield str(node.value)
        else:
            yield self.entry(node) or given.get(ast.unparse(node)) or f"{{{variable(node)}}}"

    def part(self, part: ast.expr, given: dict[str, str]) -> str:
        """A part of a formatted text."""
        if isinstance(part, ast.FormattedValue):
            return self.entry(part.value) or given.get(ast.unparse(part.value)) or f"{{{variable(part.value)}}}"
        return str(part.value) if isinstance(part, ast.Constant) else ""

    def entry(self, node: ast.expr) -> str:
        """The entry of a table of texts that its module holds; empty for anything else."""
        if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)):
            return ""
        table = getattr(importlib.import_module(self._module), ast.unparse(node.value), None)
        value = table.get(node.slice.value) if isinstance(table, dict) else None
        return value if isinstance(value, str) else ""


def called(call: ast.Call) -> str:
    """The last name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def may_be(call: ast.Call, function: ast.FunctionDef) -> bool:
    """Whether a call of a method of this name has the arguments of `function`; argparse has an `error`, too."""
    needed = len(function.args.args) - len(function.args.defaults) - 1
    return len(call.args) >= needed


def passes_on(node: ast.expr) -> bool:
    """Whether a text is another error's: `str(error)`, or what a process sent."""
    return isinstance(node, ast.Call) and called(node) in ("str", "decode")


def is_variable(text: str) -> bool:
    """Whether nothing of a text is known."""
    return text.startswith("{") and text.find("}") == len(text) - 1


def variable(node: ast.AST) -> str:
    """A short name of what varies: the first name in its expression."""
    names = [each.attr if isinstance(each, ast.Attribute) else each.id for each in ast.walk(node)
             if isinstance(each, ast.Attribute | ast.Name)]  # fmt: skip
    return names[0].strip("_").replace("_", " ") if names else "…"


def group_of(path: str) -> Group:
    """The group of a module's messages."""
    return next(group for group in GROUPS if path.startswith(group.places))


def sections(found: Iterable[Message]) -> dict[Group, list[tuple[str, str]]]:
    """Module and text of the messages by group, each once."""
    rows: dict[Group, dict[tuple[str, str], None]] = {group: {} for group in GROUPS}
    for message in found:
        rows[group_of(message.path)][message.path, message.text] = None
    return {group: list(each) for group, each in rows.items()}
