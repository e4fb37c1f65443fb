"""What every verb has in common: help, wrong use, JSON, errors in one sentence, and what is never imported."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import nibabel as nib
import numpy as np
import pytest
import typer

from napari_covseg import cli
from napari_covseg.cli import VERBS, spread
from napari_covseg.cli.verb import app

LEARNING = ("finetune", "--network", "res_att_unet", "--session", "x", "--out", "x.safetensors")
LATER = ("--cluster", "--format", "--with-identity", "dicom-seg")


def run(*words, **environment):
    """`covseg` as a program of its own."""
    return subprocess.run(
        [sys.executable, "-m", "napari_covseg", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the names of files do not depend on the locale")
def test_a_terminal_that_knows_only_ascii_is_told_all_the_same(tmp_path):
    path = tmp_path / "Röntgen.nii"
    nib.Nifti1Image(np.arange(-1000, 1000, dtype=np.int16).reshape(10, 10, 20), np.eye(4)).to_filename(path)
    said = run("info", path, **C_LOCALE)
    assert said.returncode == 0, said.stderr
    assert r"10 \xd7 10 \xd7 20" in said.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_only_what_exists(covseg, verb):
    said = covseg(verb, "--help")
    assert said.status == 0
    assert f"Example: covseg {verb}" in said.out
    assert "--json" in said.out
    assert "--debug" in said.out
    assert not [flag for flag in LATER if flag in said.out]


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_on_80_columns_every_option_keeps_its_whole_name_and_no_switch_shows_a_value(covseg, monkeypatch, verb):
    monkeypatch.setenv("COLUMNS", "80")
    said = covseg(*filter(None, (verb, "--help")))
    program = typer.main.get_command(app)
    options = [name for each in (program.commands[verb] if verb else program).params for name in each.opts]
    assert [name for name in options if name.startswith("--") and name not in said.out.split()] == []
    assert [cut for cut in said.out.split() if cut.startswith("--") and cut.endswith("…")] == []
    assert "bool" not in said.out.lower()


def sentences(module):
    """All texts of a module but its docstrings."""
    nodes = list(ast.walk(ast.parse(module.read_text("utf-8"))))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = (node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [node.value for node in texts if id(node) not in docstrings]


def test_no_room_but_the_command_line_names_its_options():
    package = Path(cli.__file__).parents[1]
    rooms = [each for each in package.rglob("*.py") if each.parent.name != "cli" and each.name != "__main__.py"]
    found = {each.name for each in rooms for said in sentences(each) if re.search(r"[\s(]--[a-z]", said)}
    assert found == {"bundle_words.py"}  # whole commands, to go on with elsewhere


def test_what_a_folder_of_pictures_does_not_say_is_asked_for_by_the_names_of_the_options(covseg, tmp_path):
    for number in range(2):
        imageio.imwrite(tmp_path / f"{number}.png", np.arange(100, dtype=np.uint8).reshape(10, 10))
    said = covseg("info", tmp_path)
    assert said.err.endswith("are apart in mm (--window LEVEL/WIDTH --spacing X,Y,Z).\n")
    said = covseg("info", tmp_path, "--window", "-600/1500")
    assert said.err.endswith("are apart in mm (--spacing X,Y,Z).\n")


def test_the_program_alone_shows_its_verbs(covseg):
    said = covseg()
    assert said.status == 0
    assert [verb for verb in VERBS if verb in said.out] == list(VERBS)


@pytest.mark.parametrize(
    "words",
    [
        ("nothing",),
        ("segment",),
        ("segment", "x.nii.gz"),
        ("segment", "x.nii.gz", "--network", "nobody"),
        ("segment", "x.nii.gz", "--network", "res_att_unet", "--slices", "5"),
        ("segment", "x.nii.gz", "--network", "res_att_unet", "--slices", "9:5"),
        ("segment", "x.nii.gz", "--network", "res_att_unet", "--slices", "0:5"),
        ("segment", "x.nii.gz", "--network", "res_att_unet", "--device", "abacus"),
        ("export", "x", "--to", "paper", "--out", "y"),
        ("review", "x", "--network", "nobody"),
        ("info", "a", "b"),
        ("networks", "--probabilities"),
        (*LEARNING, "--freeze-batch-norm", "--learn-batch-norm"),
    ],
)
def test_wrong_use_is_two_and_one_line(covseg, words):
    said = covseg(*words)
    assert (said.status, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "--help'." in said.err


@pytest.mark.parametrize(
    "words",
    [
        ("info", "nowhere.nii.gz"),
        ("measure", "nowhere.nii.gz", "--scan", "nowhere.nii.gz"),
        ("export", "nowhere", "--to", "nifti", "--out", "y"),
        ("review", "nowhere"),
        ("train", "--network", "res_att_unet", "--cases", "nowhere", "--out", "y.safetensors"),
    ],
)
def test_a_failure_is_one_sentence_that_names_the_file(covseg, words):
    said = covseg(*words)
    assert said.status == 1
    assert said.err.count("\n") == 1
    assert "nowhere" in said.err
    assert "Traceback" not in said.err


def test_debug_adds_the_traceback(covseg):
    assert "Traceback" in covseg("info", "nowhere.nii.gz", "--debug").err


def test_a_failure_in_json_is_one_object_too(covseg):
    said = covseg("info", "nowhere.nii.gz", "--json")
    assert said.status == 1
    assert "nowhere" in said.json["error"]


def test_a_system_error_is_a_sentence(covseg, session, tmp_path):
    (tmp_path / "taken").write_text("a file where a folder should be")
    said = covseg("export", session, "--to", "nifti", "--out", tmp_path / "taken" / "deeper")
    assert said.status == 1
    assert "taken" in said.err
    assert "Errno" not in said.err


def test_several_folders_may_follow_one_option():
    assert spread(["train", "--cases", "a", "b", "--out", "c"]) == [
        *("train", "--cases", "a", "--cases", "b", "--out", "c")
    ]
    assert spread(["segment", "a", "b", "--out", "c"]) == ["segment", "a", "b", "--out", "c"]


def test_networks_tells_both_sizes_and_the_checkpoints(covseg, own_checkpoint):
    (network,) = [each for each in covseg("networks", "--json").json["networks"] if each["key"] == "res_att_unet"]
    assert network["classes"] == ["ggo", "consolidation", "effusion"]
    assert network["grain"] == "slice"
    assert network["parameters"]["paper"] > 10_000_000 > network["parameters"]["compact"] > 1_000_000
    (own,) = [each for each in network["checkpoints"] if each["name"] == own_checkpoint]
    assert own.keys() == {"name", "sha256", "width", "scheme", "trained_on", "metrics"}


def test_stdout_holds_one_json_object_and_nothing_else(scan, tmp_path, own_checkpoint):
    words = ("segment", scan, "--network", "res_att_unet", "--slices", "3:3", "--out", tmp_path / "o", "--json")
    ended = run(*words)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["outputs"][0]["device"] in ("cpu", "cuda", "mps")
    assert "Segmenting case_ct.nii.gz: 1/1" in ended.stderr


WATCH = """
import sys
from napari_covseg.cli import main
status = main(sys.argv[1:])
heavy = sorted({name.split(".")[0] for name in sys.modules} & {"torch", "monai", "napari", "qtpy", "PyQt6", "PySide6"})
print("\\n" + " ".join(["loaded:", *heavy]))
sys.exit(status)
"""


@pytest.mark.parametrize("words", [("--help",), ("segment", "--help"), ("info", "SCAN"), ("review", "nowhere")])
def test_verbs_without_a_network_load_neither_torch_nor_qt(scan, words):
    words = [str(scan) if word == "SCAN" else word for word in words]
    ended = subprocess.run([sys.executable, "-c", WATCH, *words], capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-1] == "loaded:", ended.stderr


def test_segmenting_loads_no_window(scan, tmp_path, own_checkpoint):
    words = ("segment", str(scan), "--network", "res_att_unet", "--slices", "3:3", "--out", str(tmp_path / "o"))
    ended = subprocess.run([sys.executable, "-c", WATCH, *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert not {"napari", "qtpy", "PyQt6", "PySide6"} & set(ended.stdout.splitlines()[-1].split())
