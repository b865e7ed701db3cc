"""`mag doctor`."""

import dataclasses
import json
import sys

from mag.cli import read
from mag.runtime import setup


def run(words: list[str]) -> None:
    """Print what is found; exits with 1 where something is missing."""
    import tyro

    @dataclasses.dataclass
    class Doctor:
        json: tyro.conf.FlagCreatePairsOff[bool] = False
        """Print one JSON object instead of text."""

    parsed = read(Doctor, words, "Check Python, JAX, memory, and StarCraft II where SC2PATH says that it is installed.")
    setup()
    from mag.reports import doctor

    findings = []
    for finding in doctor.examine():
        findings.append(finding)
        if not parsed.json:
            print(doctor.tell(finding), flush=True)
    if parsed.json:
        print(json.dumps({"well": doctor.is_well(findings), "findings": [each._asdict() for each in findings]}))
    if not doctor.is_well(findings):
        sys.exit(1)
