"""Notice the import of the modules that have seams, without importing anything ourselves."""

from __future__ import annotations

import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class ImportWatcher(MetaPathFinder):
    """Calls back right after one of the named modules has been executed."""

    def __init__(self, modules: frozenset[str], imported: Callable[[str], None]) -> None:
        """Watch for `modules`; `imported` is called with a name, and must not raise."""
        self._modules = modules
        self._imported = imported
        self._searching: set[str] = set()

    def install(self) -> Callable[[], None]:
        """Watch from now on; return how to stop."""
        sys.meta_path.insert(0, self)
        return self._remove

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the other finders find a watched module, and add the call to its loader."""
        if fullname not in self._modules or fullname in self._searching:
            return None
        self._searching.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._searching.discard(fullname)
        if spec is None or not hasattr(spec.loader, "exec_module"):
            return spec
        spec.loader = _CallingLoader(spec.loader, self._imported)
        return spec

    def _remove(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)


class _CallingLoader(Loader):
    """The module's own loader, and a call afterwards."""

    def __init__(self, loader: Any, imported: Callable[[str], None]) -> None:
        self._loader = loader
        self._imported = imported

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
            module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._imported(module.__name__)
