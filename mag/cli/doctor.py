"""`mag doctor`: check what this machine has, and say what to do about what is missing."""

import json
import sys
from dataclasses import dataclass

from mag.cli.parsing import parse
from mag.options import choice
from mag.runtime import setup


@dataclass(frozen=True)
class Options:
    """Check Python, JAX, memory and, in the folder SC2PATH or ~/StarCraftII, StarCraft II."""

    json: bool = choice(False, source=None)
    """Print one JSON object instead of text."""


def run(words: list[str]) -> None:
    """Print what is found; exit code 1 where something is missing."""
    _, options = parse(words, Options(), "mag doctor")
    setup()
    from mag.reports import doctor

    findings = []
    for finding in doctor.examine():
        findings.append(finding)
        if not options.json:
            print(doctor.format_finding(finding), flush=True)
    if options.json:
        print(json.dumps({"well": doctor.is_well(findings), "findings": [each._asdict() for each in findings]}))
    if not doctor.is_well(findings):
        sys.exit(1)
