# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. chimera.py has what they hand out.

  chimera   starts a daemon for this test alone: chimera({"ask": {}, "dryrun": {}}, args=…) -> Chimera; stopped at the end, its exit
            code and sanitizer reports checked
  server    the module's shared daemon, configured by CONFIG = {…} in the module (ARGS, ENV too); alive before and after each test
  plugins   the folder with real and test plugins
"""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
import chimera as kit  # noqa: E402


def pytest_report_header():
    return f"chimerad: {kit.CHIMERAD}, workers: {kit.WORKERS}, sanitizers: {', '.join(sorted(kit.SANITIZERS)) or 'none'}"


def pytest_collection_modifyitems(config, items):
    """A module's ONCE = True, or a part of its tests' ids: with sanitizers these are left out, since the plain build runs them."""
    def once(item):
        mark = getattr(item.module, "ONCE", False)
        return mark is True or (mark and mark in item.name)

    if kit.SANITIZERS and not kit.HEAVY:
        left_out = [item for item in items if once(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not once(item)]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for c in list(kit.RUNNING):
            text = c.stderr()
            report.sections.append((f"chimerad {c.pid} in {c.folder}", text[-8000:]))


@pytest.fixture(scope="session")
def plugins(tmp_path_factory):
    return kit.plugin_folder(str(tmp_path_factory.mktemp("all") / "plugins"))


@pytest.fixture
def chimera(tmp_path, plugins):
    started = []

    def start(sections=None, wait=True, **kw):
        folder = tmp_path / f"chimera{len(started)}"
        folder.mkdir()
        c = kit.Chimera(folder, plugins, sections, **kw)
        started.append(c)
        return c.start(wait=wait)

    yield start
    problems = []
    for c in started:
        try:
            c.stop()
        except AssertionError as e:
            problems.append(str(e))
        c.kill()
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="session")
def corpus():
    """The folder of public test data, or a skip."""
    folder = os.environ.get("CHIMERA_CORPUS") or os.path.join(kit.SRC, "..", "shared", "corpus")
    if not os.path.isdir(folder):
        pytest.skip("corpus not at hand: set CHIMERA_CORPUS")
    return folder


class Shared:
    def __init__(self, module, folder, plugins):
        self.module, self.folder, self.plugins, self.n, self.now = module, folder, plugins, 0, None

    def get(self):
        if self.now is None or not self.now.alive:
            folder = self.folder / str(self.n)
            folder.mkdir()
            self.n += 1
            self.now = kit.Chimera(folder, self.plugins, self.module.CONFIG, args=getattr(self.module, "ARGS", ()),
                                   env=getattr(self.module, "ENV", None)).start()
        return self.now


@pytest.fixture(scope="module")
def shared(request, tmp_path_factory, plugins):
    s = Shared(request.module, tmp_path_factory.mktemp("shared"), plugins)
    yield s
    if s.now is not None:
        try:
            if s.now.alive:
                s.now.stop()
        finally:
            s.now.kill()


@pytest.fixture
def server(shared):
    c = shared.get()
    yield c
    if not c.alive:
        code = c.wait_exit()
        raise AssertionError(f"chimerad ended with {code} during this test:\n{c.stderr()}")
