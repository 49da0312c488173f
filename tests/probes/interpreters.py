"""Other interpreters on this machine, each with a virtual environment of the traced libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HOME = ROOT / "build" / "interpreters"
OLDEST = (3, 11)
NAMES = [f"python3.{minor}" for minor in range(11, 20)]
REQUIREMENTS = (
    *("django", "djangorestframework", "uvicorn[standard]", "gunicorn", "uvicorn-worker"),
    *("pytest", "pytest-timeout", "pytest-rerunfailures", "hypothesis", "numpy", "setuptools"),
)
_ASK = "import sys, ensurepip, venv; print(*sys.version_info[:3])"


def version_of(python):
    """Return the version of an interpreter that runs and can make environments, else None."""
    try:
        done = subprocess.run(
            [python, "-c", _ASK], capture_output=True, text=True, timeout=20, check=True
        )
        return tuple(map(int, done.stdout.split()))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def candidates():
    """Give every name under which an interpreter may be found: some are shims that only fail."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        for name in NAMES:
            if (Path(folder) / name).is_file():
                yield Path(folder) / name
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob("versions/*/bin/python"))


def others():
    """Return the newest interpreter of each minor version but our own, that is not too old."""
    found = {}
    for python in candidates():
        version = version_of(python)
        if version is None or version < OLDEST or version[:2] == sys.version_info[:2]:
            continue
        if version > found.get(version[:2], ((),))[0]:
            found[version[:2]] = (version, python)
    return [found[minor] for minor in sorted(found)]


def environment_of(version, python):
    """Return the Python of its environment, made when it isn't there yet."""
    home = HOME / ".".join(map(str, version))
    stamp, wanted = home / ".installed", "\n".join(REQUIREMENTS)
    inner = home / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted or version_of(inner) != version:
        make = [python, "-m", "venv", "--clear", "--without-pip", home]
        subprocess.run(make, check=True, timeout=120)
        pip = [sys.executable, "-m", "pip", "--python", inner, "--disable-pip-version-check"]
        # What is imported is compiled then: most of it never is.
        install = [*pip, "install", "--quiet", "--no-compile", *REQUIREMENTS]
        subprocess.run(install, check=True, timeout=600)
        stamp.write_text(wanted)
    # The accelerator is another one for each of them; where it can't be built, a test says so.
    build = [inner, "setup.py", "--quiet", "build_ext", "--inplace", "--build-temp", home / "build"]
    subprocess.run(build, cwd=ROOT, check=True, timeout=120, capture_output=True)
    return inner
