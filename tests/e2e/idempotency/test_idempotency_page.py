# SPDX-License-Identifier: Apache-2.0
"""docs/idempotency.md tells the truth: the keys of [idempotency] with their defaults, and the metrics there are."""
import json
import os
import re
import sys

import chimera as kit
import pytest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "config"))
import ctl  # noqa: E402


def page():
    with open(os.path.join(kit.SRC, "docs", "idempotency.md"), encoding="utf-8") as f:
        return f.read()


def table(heading):
    rows = page().split(heading)[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]


@ctl.needs_ctl
def test_the_page_has_every_key_with_its_default(tmp_path):
    plugins = os.environ.get("CHIMERA_PLUGINS")
    (tmp_path / "c.ini").write_text(f"[server]\nplugin_dir = {plugins}\n" if plugins else "")
    options = json.loads(ctl.run_chimeractl("-c", tmp_path / "c.ini", "options", "idempotency", "--json").stdout)["options"]
    assert {a.strip("`"): b.strip("`") for a, b, _ in table("| `[idempotency]` | default | |\n")} == {o["name"]: o["default"] for o in options}


def test_the_page_has_every_metric(front):
    c = front()
    there = {name for name, _, _ in c.metrics() if name.startswith("chimera_idempotency_")}
    told = set()
    for cell, _ in table("| metric | |\n"):
        for name in re.findall(r"`([a-z_…]+)", cell):
            told.add(name if name.startswith("chimera") else "chimera_idempotency" + name[1:])
    assert told == there


@pytest.mark.parametrize("code", ["idempotency_in_progress", "idempotency_not_replayable", "idempotency_indeterminate", "idempotency_key_reused"])
def test_the_page_tells_of_every_refusal(code):
    assert f"`{code}`" in page()
