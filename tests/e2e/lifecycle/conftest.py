# SPDX-License-Identifier: Apache-2.0
"""Fixtures: the folder of plugins with t_gate in it, and servers that have it."""
import pytest
from load import GATE, tiny

import chimera as kit


@pytest.fixture(scope="session")
def with_gate(tmp_path_factory):
    if not tiny.shutil.which(tiny.CC):
        pytest.skip(f"there is no compiler {tiny.CC}")
    folder = kit.plugin_folder(str(tmp_path_factory.mktemp("gate") / "plugins"))
    tiny.build(folder, "t_gate", GATE)
    return folder


@pytest.fixture
def gated(chimera, with_gate, tmp_path):
    """Like chimera(), with [t_gate]; its gate opens by c.open_gate()."""
    def start(sections=None, **kw):
        sections = dict(sections or {})
        sections["server"] = {"plugin_dir": with_gate, **sections.get("server", {})}
        sections["t_gate"] = {"open": str(tmp_path / "open")}
        c = chimera(sections, **kw)
        c.sections = sections
        c.open_gate = lambda: (tmp_path / "open").write_text("")
        return c
    return start
