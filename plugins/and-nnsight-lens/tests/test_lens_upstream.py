"""The patches for TransformerLens apply to the installed one, and their own tests fail without them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import transformer_lens

PATCHES = sorted((Path(__file__).parents[1] / "upstream").glob("*.patch"))


def apply(patch: Path, folder: Path) -> None:
    done = subprocess.run(["patch", "-p1", "--fuzz=0", "-i", patch], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{patch.name}: {done.stdout}{done.stderr}"


def git(folder: Path, *arguments: str | Path) -> str:
    who = ("-c", "user.name=a reader", "-c", "user.email=reader@example.org")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def brought_by(patch: Path) -> str:
    """The test file that a patch brings."""
    (found,) = (line.split()[-1] for line in patch.read_text().splitlines() if line.startswith("+++ b/tests/"))
    return found.removeprefix("b/")


def run_tests(folder: Path, files: list[str]) -> subprocess.CompletedProcess[str]:
    here = str(Path(__file__).parents[1])
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "-W", "ignore", *files]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), here]), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no patch program")
def test_each_patch_applies_and_its_tests_fail_without_it(tmp_path: Path) -> None:
    assert len(PATCHES) == 5
    patched, bare = tmp_path / "patched", tmp_path / "bare"
    for folder in (patched, bare):
        left_out = shutil.ignore_patterns("__pycache__", "data")
        shutil.copytree(Path(transformer_lens.__file__).parent, folder / "transformer_lens", ignore=left_out)
        (folder / "pytest.ini").write_text("[pytest]\n")
    data = "tools/model_registry/data"
    if (source := Path(transformer_lens.__file__).parent / data).is_dir():
        for folder in (patched, bare):
            (folder / "transformer_lens" / data).symlink_to(source)
    for patch in PATCHES:
        apply(patch, patched)
    files = [brought_by(patch) for patch in PATCHES]
    for file in files:
        (bare / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(patched / file, bare / file)
    after = run_tests(patched, files)
    assert after.returncode == 0, after.stdout
    before = run_tests(bare, files).stdout
    for file in files:
        assert f"FAILED {file}" in before, file


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_the_patches_are_commits_in_order(tmp_path: Path) -> None:
    left_out = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(Path(transformer_lens.__file__).parent, tmp_path / "transformer_lens", ignore=left_out)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "released")
    git(tmp_path, "am", "-q", *PATCHES)
    assert len(git(tmp_path, "log", "--oneline").splitlines()) == 1 + len(PATCHES)
