# SPDX-License-Identifier: Apache-2.0
"""docs/routing.md lists each key of [router] and [router.MODEL] with the default that the plugin has."""
import json
import os
import re
import sys

import chimera as kit

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "config"))
import ctl  # noqa: E402

pytestmark = ctl.needs_ctl


def keys_of_page(heading):
    """{key: default} of the table that begins so: `| `a`, `b` | `1`, `2` | …`, one default for several keys, or none."""
    with open(os.path.join(kit.SRC, "docs", "routing.md"), encoding="utf-8") as page:
        lines = page.read().split(f"| {heading} | default | |\n")[1].split("\n\n")[0].splitlines()[1:]
    found = {}
    for line in lines:
        keys, defaults = (re.findall(r"`([^`]*)`", cell) for cell in line.split("|")[1:3])
        found.update(zip(keys, defaults or [""] * len(keys), strict=True))
    return found


def keys_of_plugin(options):
    return {o["name"]: o["default"] or "" for o in options}


def test_the_page_has_every_key_with_its_default(tmp_path):
    plugins = os.environ.get("CHIMERA_PLUGINS")
    (tmp_path / "c.ini").write_text(f"[server]\nplugin_dir = {plugins}\n" if plugins else "")
    told = json.loads(ctl.run_chimeractl("-c", tmp_path / "c.ini", "options", "router", "--json").stdout)
    assert keys_of_page("`[router]`") == keys_of_plugin(told["options"])
    rows = keys_of_page("`[router.MODEL]`")
    assert rows.pop("fallback") == "" and rows == {k: v for k, v in keys_of_plugin(told["rows"]).items() if k != "fallback"}
