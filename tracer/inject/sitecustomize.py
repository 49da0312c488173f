"""Run by Python at start, in every process under `tracer run`: do next to nothing.

Nothing of ours is imported before a module with seams is; then the user's own
`sitecustomize`, which this one hides, is run as if this one weren't here.
"""

import sys

_MODULES = {"django", "asgiref", "uvicorn", "gunicorn", "rest_framework", "uvloop"}


class _Trigger:
    """Installs the tracer when the first package with seams is about to be imported."""

    @classmethod
    def find_spec(cls, name: str, _path: object = None, _target: object = None) -> None:
        if name in _MODULES:
            sys.meta_path.remove(cls)
            try:
                from tracer.setup import install  # noqa: PLC0415

                install()
            except Exception as error:  # noqa: BLE001 - the program starts as without us
                sys.stderr.write(f"tracer: not installed: {error!r}\n")


sys.meta_path.insert(0, _Trigger)


def _run_hidden() -> None:
    """Find it by what Python has loaded anyway: `importlib.util` alone costs 2 ms at start."""
    import _frozen_importlib  # noqa: PLC0415
    import _frozen_importlib_external  # noqa: PLC0415

    here = __file__.rpartition("/")[0]
    finder = _frozen_importlib_external.PathFinder
    spec = finder.find_spec("sitecustomize", [entry for entry in sys.path if entry != here])
    if spec is not None and spec.loader is not None:
        module = _frozen_importlib.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_run_hidden()
