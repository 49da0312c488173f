"""What is built from the tree: an sdist with all of it, and a wheel made of that sdist alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

import tracer
from tests.support.server import ROOT

pytestmark = pytest.mark.slow

COMPILED = shutil.which("cc") or shutil.which("gcc")
MADE_HERE = (".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "*.so")
WITHOUT_OURS = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
C_SOURCES = ROOT / "tracer" / "runtime" / "native"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with an sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("built")
    tree = folder / "tree"
    # What an earlier build left in the tree would come along.
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*MADE_HERE))
    command = [sys.executable, "-m", "build", "--outdir", folder, tree]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An interpreter that has the wheel, and our libraries without what is installed editable."""
    home = tmp_path_factory.mktemp("home") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, timeout=120)
    inner = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", inner]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", wheel], check=True, timeout=120)
    given = {"base": str(home), "platbase": str(home)}
    (home / sysconfig.get_path("purelib", vars=given) / "libraries.pth").write_text(
        # A folder named in such a file is searched, but no such files in it are read.
        sysconfig.get_path("purelib") + "\n"
    )
    return inner


def files_below(folder):
    return {
        path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_our_package_and_nothing_else(names):
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in files_below(ROOT / "tracer") - files_below(C_SOURCES)
        if path.suffix != ".so"
    }
    demo = {f"tracer/demo/{path.relative_to(ROOT)}" for path in files_below(ROOT / "demo_site")}
    told = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    compiled = {name for name in names if name.startswith("tracer/model/_native.cpython-")}
    assert names - told - compiled == ours | demo
    assert bool(compiled) == bool(COMPILED)
    assert "tracer/py.typed" in names
    assert any(name.startswith("tracer/reports/page/vendor/") for name in names)


def test_the_version_is_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = (one for one in zipfile.Path(archive).iterdir() if "dist-info" in one.name)
        assert PathDistribution(folder).version == tracer.__version__


def test_the_sdist_has_what_a_contributor_needs(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {path.relative_to(ROOT).as_posix() for path in files_below(C_SOURCES)}
    assert sources < names
    assert {
        *("CHANGELOG.md", "LICENSE", "Makefile", "README.md", "constraints.txt"),
        *("demo_site/wsgi.py", "docs/architecture.md", "tests/packaging/test_wheel.py"),
    } < names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_it_works_where_nothing_else_of_ours_is(python):
    script = ROOT / "tests" / "packaging" / "try_installed.py"
    asked = ["--accelerated"] if COMPILED and "TRACER_PURE" not in os.environ else []
    done = subprocess.run(
        [python, script, *asked],
        env=WITHOUT_OURS,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_but_our_package_can_be_imported_of_it(python, tmp_path):
    code = (
        "import importlib.util as u, tracer; print(tracer.__file__);"
        "print([n for n in ('demo_site', 'tests', 'benchmarks') if u.find_spec(n)]);"
        "from tracer.compare.demo import demo_configurations as d;"
        "print(*__import__('os').listdir(d()[0].environment['PYTHONPATH']))"
    )
    told = subprocess.run(
        [python, "-c", code],
        cwd=tmp_path,
        env=WITHOUT_OURS,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert Path(told[0]).is_relative_to(python.parent.parent)
    assert told[1:] == ["[]", "demo_site"]
