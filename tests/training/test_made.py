"""Which code made a checkpoint: a commit where there is a checkout of it, and never another's."""

import shutil
import subprocess

import pytest

from napari_covseg.training.made import command_of, commit


def git(folder, *words):
    somebody = ("-c", "user.name=a", "-c", "user.email=b")
    told = subprocess.run(["git", "-C", folder, *somebody, *words], check=True, capture_output=True)
    return told.stdout.decode().strip()


@pytest.fixture
def package(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is missing")
    folder = tmp_path / "checkout" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    git(folder.parent, "init", "-q")
    return folder


def test_a_checkout_has_a_commit_and_says_when_files_were_changed(package):
    git(package, "add", ".")
    git(package, "commit", "-qm", "first")
    git(package, "tag", "-am", "a version", "v1")
    head = git(package, "rev-parse", "HEAD")
    assert commit.__wrapped__(package) == head
    (package / "__init__.py").write_text("changed = 1")
    assert commit.__wrapped__(package) == f"{head}-dirty"


def test_a_package_within_anothers_checkout_has_none(package):
    (package.parent / "theirs.py").write_text("")
    git(package.parent, "add", "theirs.py")
    git(package.parent, "commit", "-qm", "theirs")
    assert commit.__wrapped__(package) == ""


def test_without_a_checkout_or_git_there_is_none(tmp_path, monkeypatch):
    assert commit.__wrapped__(tmp_path) == ""
    monkeypatch.setenv("PATH", "")
    assert commit.__wrapped__() == ""


def test_options_that_are_not_given_are_not_told():
    found = command_of("finetune", [("seed", 0), ("replay", None), ("freeze-encoder", True), ("pull", False)])
    assert found == "covseg finetune --seed 0 --freeze-encoder"
