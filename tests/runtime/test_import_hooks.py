from __future__ import annotations

import importlib
import importlib.util
import sys

import pytest

from tracer.runtime.import_hooks import ImportWatcher


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Make modules `watched_*` that can be imported; forget them afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, code=""):
        path = tmp_path.joinpath(*name.split("."))
        path.parent.mkdir(exist_ok=True, parents=True)
        path.with_suffix(".py").write_text(code)
        importlib.invalidate_caches()

    yield make
    for name in [name for name in sys.modules if name.startswith("watched_")]:
        del sys.modules[name]


@pytest.fixture
def watch():
    stops = []

    def start(*names):
        seen = []
        watcher = ImportWatcher(
            frozenset(names), lambda name: seen.append((name, sys.modules[name]))
        )
        stops.append(watcher.install())
        return seen

    yield start
    for stop in stops:
        stop()


def test_a_watched_module_is_announced_once_after_it_has_run(modules, watch):
    modules("watched_one", "import watched_other\nready = True\n")
    modules("watched_other")
    seen = watch("watched_one")
    module = importlib.import_module("watched_one")
    importlib.import_module("watched_one")
    assert seen == [("watched_one", module)]
    assert seen[0][1].ready


def test_the_module_keeps_its_own_loader_spec_and_source(modules, watch):
    modules("watched_one", "import inspect\ndef f():\n    return 1\n")
    watch("watched_one")
    module = importlib.import_module("watched_one")
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert module.__spec__.loader is module.__loader__
    import inspect

    assert "return 1" in inspect.getsource(module.f)
    importlib.reload(module)


def test_a_submodule_of_an_unwatched_package_is_announced(modules, watch):
    modules("watched_package.inner", "x = 1")
    seen = watch("watched_package.inner")
    importlib.import_module("watched_package.inner")
    assert [name for name, _ in seen] == ["watched_package.inner"]


def test_a_module_that_fails_raises_as_ever_and_is_announced_only_once_it_works(modules, watch):
    modules("watched_broken", "raise KeyError('as ever')")
    seen = watch("watched_broken")
    with pytest.raises(KeyError, match="as ever"):
        importlib.import_module("watched_broken")
    assert seen == []
    assert "watched_broken" not in sys.modules
    modules("watched_broken", "mended_at_last = True")
    importlib.import_module("watched_broken")
    assert [name for name, _ in seen] == ["watched_broken"]


def test_a_module_that_is_not_there_is_not_found_as_ever(watch):
    watch("watched_missing", "watched_missing.inner")
    with pytest.raises(ModuleNotFoundError, match="watched_missing"):
        importlib.import_module("watched_missing")
    with pytest.raises(ModuleNotFoundError, match="watched_missing"):
        importlib.import_module("watched_missing.inner")
    assert importlib.util.find_spec("watched_missing") is None


def test_looking_a_module_up_announces_nothing(modules, watch):
    modules("watched_one")
    seen = watch("watched_one")
    assert importlib.util.find_spec("watched_one") is not None
    assert seen == []


def test_two_watchers_of_one_module_both_hear_of_it(modules, watch):
    modules("watched_one")
    first, second = watch("watched_one"), watch("watched_one")
    importlib.import_module("watched_one")
    assert len(first) == len(second) == 1


def test_stopping_leaves_the_import_system_as_it_was(modules):
    before = list(sys.meta_path)
    seen = []
    stop = ImportWatcher(frozenset({"watched_one"}), seen.append).install()
    stop()
    stop()
    assert sys.meta_path == before
    modules("watched_one")
    importlib.import_module("watched_one")
    assert seen == []


def test_resources_and_package_data_of_a_watched_package_are_reachable(modules, watch, tmp_path):
    modules("watched_package.__init__", "")
    (tmp_path / "watched_package" / "data.txt").write_text("data")
    watch("watched_package")
    package = importlib.import_module("watched_package")
    from importlib import resources

    assert resources.files(package).joinpath("data.txt").read_text() == "data"


def test_a_watched_module_can_be_imported_by_several_threads_at_once(modules, watch):
    import threading

    modules("watched_slow", "import time\ntime.sleep(0.05)\nready = True\n")
    seen = watch("watched_slow")
    ready = []

    def load():
        ready.append(importlib.import_module("watched_slow").ready)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ready == [True] * 8
    assert len(seen) == 1
