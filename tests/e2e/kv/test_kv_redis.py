# SPDX-License-Identifier: Apache-2.0
"""kv_redis over a real Redis: the conformance suite of kv/1."""
import re

import pytest

LINE = re.compile(r"(not )?ok (\d+) - (\S+)(?:: .*)?")


def cases_of(text):
    """[(name, passed)] of a report in TAP."""
    first, *lines = text.splitlines()
    cases = [LINE.fullmatch(line) for line in lines if not line.startswith("#") and not line.startswith("1..")]
    assert first == "TAP version 13" and all(cases) and f"1..{len(cases)}" in lines, text
    return [(m[3], not m[1]) for m in cases]


@pytest.mark.parametrize("workers", [1, 4])
def test_kv_redis_passes_every_case_of_kv(chimera, redis_server, workers):
    c = chimera({"server": {"workers": workers}, "kv_redis": {"url": redis_server.url, "timeout": "5s", "value_timeout": "5s"},
                 "conform_kv": {}})
    r = c.request("POST", "/conform/kv")
    assert r.status == 200
    cases = cases_of(r.text)
    assert not [name for name, passed in cases if not passed], r.text
    assert len(cases) > 100 and sum(name.startswith("race/") for name, _ in cases) > 5
