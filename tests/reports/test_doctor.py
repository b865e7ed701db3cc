"""The doctor's findings and its advice."""

import json
import shutil

import pytest

from mag import cli
from mag.algorithms.mag.method import TABLE_1
from mag.envs.starcraft import install as installed
from mag.reports import doctor
from mag.reports.doctor import examine, format_finding, is_well
from tests.support.starcraft_server import install, launches


@pytest.fixture(autouse=True)
def no_game(monkeypatch, tmp_path):
    monkeypatch.delenv("SC2PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def found(part):
    return [finding for finding in examine() if finding.part == part]


def test_a_machine_without_the_game_is_well(capsys):
    findings = list(examine())
    assert is_well(findings)
    states = {finding.part: finding.state for finding in findings}
    assert states["python"] == states["packages"] == states["jax"] == "ok" and states["starcraft"] == "optional"
    cli.main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok       python")


def test_a_game_that_is_asked_for_and_not_there_ends_with_1(monkeypatch, capsys):
    monkeypatch.setenv("SC2PATH", "/nowhere")
    with pytest.raises(SystemExit) as end:
        cli.main(["doctor", "--json"])
    assert end.value.code == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["well"] and "SC2PATH is /nowhere, which is not a folder" in told["findings"][-1]["told"]


def test_a_whole_game_starts_answers_and_plays(tmp_path, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(install(tmp_path, *TABLE_1)))
    findings = {finding.part: finding for finding in examine()}
    assert is_well(list(findings.values()))
    assert findings["starcraft"].told == f"4.10 (Base75689) in {tmp_path}" and findings["starcraft"].state == "ok"
    assert "the paper's eight among them" in findings["maps"].told
    assert "as version 4.10.0.75689" in findings["start"].told
    assert "starcraft/3s_vs_3z plays a step" in findings["play"].told
    assert len(launches(tmp_path)) == 2


def test_missing_maps_and_another_version_are_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(install(tmp_path, "2s3z", build=69232, die_starting=True)))
    findings = {finding.part: finding for finding in examine()}
    assert findings["starcraft"].state == "differs" and "4.6.2 (Base69232)" in findings["starcraft"].told
    assert "published results are of 4.10" in findings["starcraft"].advice
    assert findings["maps"].state == "missing" and "there is no 2s_vs_1sc, 3s_vs_3z" in findings["maps"].told
    assert findings["start"].state == "missing" and "the licence has expired" in findings["start"].told
    assert "by hand" in findings["start"].advice
    assert not is_well(list(findings.values()))


def test_what_is_little_or_absent_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("mag.runs.footprint.available", lambda: 2**30)
    monkeypatch.setattr(doctor, "is_writable", lambda folder: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor, "PACKAGES", ("jax", "no-such-package"))
    findings = {finding.part: finding for finding in examine()}
    assert (findings["memory"].state, findings["memory"].told) == ("differs", "only 1.0 GiB")
    assert "MAG_CACHE" in findings["cache"].advice and findings["ffmpeg"].state == "optional"
    assert findings["packages"].told == "there is no no-such-package"


def test_an_error_of_a_check_is_a_finding(monkeypatch):
    def broken():
        raise RuntimeError("no devices")

    monkeypatch.setattr("jax.devices", broken)
    (finding,) = found("jax")
    assert finding.state == "missing" and "no devices" in finding.told
    assert format_finding(finding).splitlines()[1].strip().startswith("-> ")


def test_the_game_is_sought_where_the_packages_of_its_client_are_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("SC2PATH", str(tmp_path))

    def absent():
        raise ImportError("s2clientprotocol")

    monkeypatch.setattr(doctor, "protocol", absent)
    (finding,) = found("starcraft")
    assert finding.advice == "pip install 'models-as-agents[starcraft]'"
    assert installed.game_folder() == tmp_path


def test_a_finding_fits_80_columns():
    told = doctor.format_finding(doctor.Finding("starcraft", "missing", "one two " * 20, "three " * 30))
    lines = told.splitlines()
    assert max(map(len, lines)) <= 80 and lines[0].startswith("missing  starcraft  one two")
    # 20 columns of state and part, or of state, part and arrow.
    assert [line[:20].strip() for line in lines[1:]] == [""] * (len(lines) - 1)
    assert sum(line[20:23] == "-> " for line in lines) == 1
