# SPDX-License-Identifier: Apache-2.0
"""What the operator's patterns find does not reach the journal, nor any sink."""
import glob
import json
import os
import re

import chimera as kit
import ledger
import pytest

CANARY = "sk-canary-4711"


def nowhere(folder, secret):
    for path in glob.glob(os.path.join(folder, "**"), recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                assert secret.encode() not in f.read(), path


def test_what_a_pattern_finds_is_nowhere(chimera, plugins):
    c = chimera(ledger.sections(plugins, records={"store_content": "yes"}, records__keys={"pattern": "sk-[a-z]+-[0-9]+"},
                                records__names={"pattern": "(?i)alice|bob", "with": "<name>"}))
    body = '{"prompt": "I am Alice, my key is ' + CANARY + '"}'
    c.request("POST", "/v1/ask", body, {**ledger.JSON, "X-Request-Id": "canary-1"})
    row = ledger.wait_one(ledger.SQLite(c.state), "canary-1")
    assert row["prompt"] == '{"prompt": "I am <name>, my key is [redacted]"}'
    c.stop()
    nowhere(c.state, CANARY)


def test_escapes_hide_nothing(chimera, plugins):
    c = chimera(ledger.sections(plugins, records={"store_content": "yes"}, records__mail={"pattern": r"\b[a-z]+@[a-z]+\.org\b"}))
    body = r'{"prompt": "mail:\njoe\u0040example\u002Eorg, \u006aim\u0040example.org"}'
    c.request("POST", "/v1/ask", body, {**ledger.JSON, "X-Request-Id": "escaped-1"})
    assert ledger.wait_one(ledger.SQLite(c.state), "escaped-1")["prompt"] == r'{"prompt": "mail:\n[redacted], [redacted]"}'
    c.request("POST", "/v1/ask", body[:-1], {**ledger.JSON, "X-Request-Id": "escaped-2"})  # no JSON: its end is missing
    row = ledger.wait_one(ledger.SQLite(c.state), "escaped-2")
    assert (row["status"], row["prompt"]) == (400, r'{"prompt": "mail:\n[redacted], [redacted]"')


@pytest.mark.parametrize("path, question", [
    ("/v1/ask", {"prompt": "x"}),
    ("/v1/chat/completions", {"model": "dryrun", "messages": [{"role": "user", "content": "x"}]}),
])
def test_frames_hide_nothing(chimera, plugins, path, question):
    """dryrun's answer begins with "dryrun: 01234567", which its stream sends in two frames."""
    c = chimera(ledger.sections(plugins, records={"store_content": "yes"}, api_openai={},
                                records__digest={"pattern": "dryrun: [0-9a-f]{8}"}))
    r = c.request("POST", path, json.dumps({**question, "stream": True}), {**ledger.JSON, "X-Request-Id": "frames-1"})
    assert "dryrun:" in r.text and not re.search("dryrun: [0-9a-f]", r.text)
    secret = re.search('" ([0-9a-f]{8})"', r.text).group(1)
    answer = ledger.wait_one(ledger.SQLite(c.state), "frames-1")["answer"]
    assert answer.startswith("[redacted] ") and secret not in answer
    c.stop()
    nowhere(c.state, secret)


def test_rules_apply_in_the_config_s_order(chimera, plugins):
    c = chimera(ledger.sections(plugins, records={"store_content": "yes"}, records__zz={"pattern": "one", "with": "two"},
                                records__aa={"pattern": "two", "with": "three"}))
    c.request("POST", "/v1/ask", '{"prompt": "one"}', {**ledger.JSON, "X-Request-Id": "order-1"})
    assert ledger.wait_one(ledger.SQLite(c.state), "order-1")["prompt"] == '{"prompt": "three"}'


def check(tmp_path, plugins, keys):
    path = tmp_path / "c.ini"
    path.write_text(kit.config_text({"server": {"plugin_dir": plugins, "state_dir": tmp_path}, "records": {}, "records.cards": keys}))
    return kit.run_chimerad("-c", path, "--check")


def test_a_wrong_pattern_is_shown_with_its_place(tmp_path, plugins):
    done = check(tmp_path, plugins, {"pattern": "[0-9]{4}(-"})
    assert done.returncode == 78
    assert "[records.cards] pattern" in done.stderr and 'at offset 10: "[0-9]{4}(-<HERE>"' in done.stderr


def test_a_pattern_that_finds_nothing_everywhere_is_refused(tmp_path, plugins):
    done = check(tmp_path, plugins, {"pattern": "[0-9]*"})
    assert done.returncode == 78 and "finds the empty text too" in done.stderr
