"""Help, version and slips of the keyboard."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from command_line import start

import noisewise
from noisewise.cli.app import app

COMMANDS = [str(command.name) for command in app.registered_commands]
GROUPS = {
    str(group.name): [f"{group.name} {command.name}" for command in group.typer_instance.registered_commands]
    for group in app.registered_groups
}


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", [*COMMANDS, *(command for group in GROUPS.values() for command in group)])
def test_every_command_helps_with_an_example(command, flag, run):
    ran = run(*command.split(), flag)
    assert ran.code == 0
    assert f"Example: noisewise {command} " in " ".join(ran.out.split())


def test_the_help_names_every_command(run):
    ran = run("--help")
    assert ran.code == 0
    assert all(command in ran.out for command in [*COMMANDS, *GROUPS])
    assert "Example: noisewise denoise photos/ -o clean/ --report" in ran.out


def test_the_version(run):
    assert run("--version") == (0, f"noisewise {noisewise.__version__}\n", "")


SLIPS = {
    ("denose",): "did you mean",
    ("denoise", "--foo"): "no such option",
    ("denoise",): "missing argument",
    ("denoise", "a.png"): "missing option",
    ("denoise", "a.png", "-o", "b.png", "--strength", "2"): "--strength",
    ("denoise", "a.png", "-o", "b.png", "--strength", "much"): "--strength",
    ("corrupt", "a.png", "-o", "b.png", "--seed", "-1"): "--seed",
    ("pretrain", "--images", ".", "--steps", "0"): "--steps",
    ("study", "table1"): "missing option '--row'",
    ("--sigma", "5"): "no such option",
}


@pytest.mark.parametrize("arguments", SLIPS, ids=" ".join)
def test_a_slip_is_answered_in_one_line(arguments, run):
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("error: ")
    assert SLIPS[arguments] in ran.err.lower()
    assert "--help)" in ran.err


def test_the_installed_command_is_this_one():
    script = os.path.join(os.path.dirname(sys.executable), "noisewise")  # noqa: PTH118, PTH120
    if not os.path.exists(script):  # noqa: PTH110
        pytest.skip("noisewise is not installed beside this interpreter")
    ran = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, f"noisewise {noisewise.__version__}\n")


def test_a_reader_that_leaves_early_gets_no_traceback(photos, tmp_path, weights):
    reading, writing = os.pipe()
    os.close(reading)
    arguments = ("denoise", photos / "a.png", "-o", tmp_path / "x.png", "--weights", weights, "--json")
    process = start(*arguments, stdout=writing)
    os.close(writing)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said == ""
    assert (tmp_path / "x.png").is_file()
