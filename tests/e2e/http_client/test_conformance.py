# SPDX-License-Identifier: Apache-2.0
"""http_client passes the suite that every provider of http/1 must pass: sdk/conformance, as docs/conformance.md tells to run it."""
import re
import shutil

import chimera as kit
import pytest
from misbehaving import Misbehave

SLACK = "10s" if kit.SANITIZERS else "3s"
LINE = re.compile(r"(not )?ok (\d+) - (\S+)(?:: (.*?))?(?: # SKIP (.*))?")


@pytest.fixture(autouse=True)
def _built(plugins):
    for name in ("http_client", "conform_http"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")


@pytest.fixture
def misbehave():
    with Misbehave() as m:
        yield m


def sections(m):
    return {"http_client": {"ca_file": m.urls["ca"]},
            "conform_http": {"server": m.urls["control"], "slack": SLACK, "trusted": "yes" if m.urls["ca"] else "no"}}


def report(c, query=""):
    """Runs the suite: ({name: (passed, skipped)}, text). The report must be whole, and numbered without a gap."""
    r = c.request("POST", "/conform/http" + query)
    assert r.status == 200, r
    first, *lines = r.text.splitlines()
    assert first == "TAP version 13"
    cases = [LINE.fullmatch(line) for line in lines if not line.startswith("#") and not line.startswith("1..")]
    assert all(cases), r.text
    assert [int(m[2]) for m in cases] == list(range(1, len(cases) + 1)) and f"1..{len(cases)}" in lines, r.text
    names = [m[3] for m in cases]
    assert len(set(names)) == len(names), "a name stands for two cases"
    return {m[3]: (not m[1], bool(m[5])) for m in cases}, r.text


def test_http_client_passes_every_case(chimera, misbehave):
    c = chimera(sections(misbehave))
    cases, text = report(c)
    failed = [name for name, (passed, _) in cases.items() if not passed]
    assert not failed, f"{len(failed)} of {len(cases)} failed: {', '.join(failed)}\n{text}"
    assert len(cases) > 200
    if shutil.which("openssl"):
        assert not any(skipped for _, skipped in cases.values()), text


def test_one_group_or_case_can_be_asked_for(chimera, misbehave):
    c = chimera(sections(misbehave))
    assert list(report(c, "?case=coding/identity,reach/refused")[0]) == ["coding/identity", "reach/refused", "reach/refused-v6"]
    assert report(c, "?case=no-such/")[0] == {}


def test_a_suite_without_its_server_bails_out(chimera):
    c = chimera({"http_client": {}, "conform_http": {"server": f"http://127.0.0.1:{kit.free_port()}"}})
    r = c.request("POST", "/conform/http?case=answer/")
    assert "\nBail out! option server names no control port of misbehave.py" in r.text and "\nok" not in r.text and "1.." not in r.text
