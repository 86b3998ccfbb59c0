# SPDX-License-Identifier: Apache-2.0
"""The probes of Http11Probe over a real socket. Their `expected` is in words; a small reader of those words judges each outcome.

A probe counts as passed, as refused more strictly (an error answer and a closed connection where another error or a success was
expected), or as failed. One deviation is on purpose: a Content-Length over the limit is 413 at once.
"""
import base64
import concurrent.futures
import json
import os
import re

import chimera as kit

CONFIG = {"t_echo": {}, "server": {"header_timeout": "700ms", "body_timeout": "700ms", "keepalive_timeout": "700ms"}}
ON_PURPOSE = {"MAL-POST-CL-HUGE-NO-BODY": 413}


def dechunked(data):
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        n = int(size.split(b";")[0], 16)
        if n == 0:
            break
        out, data = out + data[:n], data[n + 2:]
    return out


def body_of(request):
    head, _, body = request.partition(b"\r\n\r\n")
    return dechunked(body) if b"chunked" in head.lower() else body


class Outcome:
    """statuses of the answers to each step; `first` the first answer; closed: the server ended the connection before we did."""

    def __init__(self, server, probe):
        self.steps, self.extra, self.first, self.bad, self.sent = [], [], None, None, b""
        with server.connect() as c:
            try:
                for step in probe["steps"]:
                    for part in step["parts"]:
                        self.sent += base64.b64decode(part["b64"])
                        c.send(base64.b64decode(part["b64"]))
                    self.steps.append(self.answer(c))
                self.closed = c.ended or not self.first or not self.first.keeps
                c.finish()
                while c.buffer or c.more():
                    self.extra.append(c.response(head=self.sent.startswith(b"HEAD")).status)
            except kit.Closed:
                self.closed = True
            except kit.BadAnswer as e:
                self.bad, self.closed = str(e), True

    def answer(self, c):
        try:
            r = c.response(head=self.sent.startswith(b"HEAD"))
        except kit.Closed:
            return None
        self.first = self.first or r
        return r.status

    @property
    def status(self):
        return self.steps[0] if self.steps else None

    def __repr__(self):
        return f"steps {self.steps} extra {self.extra} {'closed' if self.closed else 'open'} {self.bad or ''}"


def judge(expected, o):
    """True: as the words want it."""
    two = o.status is not None and 200 <= o.status < 300
    if o.bad:
        return False
    words = expected.replace(" preferred", "").split(";")[0].replace("(pass)", "").replace("(warn)", "")
    special = {
        "!101": lambda: o.status != 101, "non-101 (426)": lambda: o.status != 101, "non-1xx response": lambda: o.status is not None
        and not o.first.interim,
        "not 414": lambda: o.status != 414, "204 without CL": lambda: o.status == 204 and o.first.header("Content-Length") is None,
        "2xx + echo": lambda: two and o.first.body == body_of(o.sent), "2xx with no body": lambda: two and not o.first.body and not o.extra,
        "405 + Allow header": lambda: o.status == 405 and o.first.header("Allow"), "2xx with Allow header": lambda: two
        and o.first.header("Allow"),
        "2xx with Content-Type": lambda: two and o.first.header("Content-Type"), "2xx with Date header": lambda: two
        and o.first.header("Date"),
        "2xx + close": lambda: two and o.closed, "IMF-fixdate format": lambda: kit.HTTP_DATE.fullmatch(o.first.header("Date") or ""),
        "2xx + 2xx": lambda: o.steps == [200, 200],
    }
    if words in special:
        return bool(special[words]())
    if "no extra response" in words and (o.extra or o.steps[1:] and o.steps[1] is not None):
        return False
    if o.status is None:
        return "close" in words or "timeout" in words
    if o.status == 408 and "timeout" in words:
        return True
    if re.search(r"\b%d\b" % o.status, words):
        return True
    if two and re.search(r"2xx ?\+ ?close", words):
        return o.closed
    return two and ("2xx" in words or "200-299" in words or "pass-through" in words)


def stricter(o):
    return not o.bad and o.closed and not o.extra and o.status is not None and (400 <= o.status < 500 or o.status in (501, 505)) \
        and all(s is None for s in o.steps[1:])


def test_the_probes_are_answered_as_expected(server, corpus):
    with open(os.path.join(corpus, "http11probe.jsonl"), encoding="utf-8") as f:
        probes = [json.loads(line) for line in f]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda p: Outcome(server, p), probes))
    tally = {"passed": [], "stricter": [], "on purpose": [], "failed": []}
    for p, o in zip(probes, outcomes):
        if p["id"] in ON_PURPOSE and ON_PURPOSE[p["id"]] == o.status:
            verdict = "on purpose"
        else:
            verdict = "passed" if judge(p["expected"], o) else "stricter" if stricter(o) else "failed"
        if p["scored"]:
            tally[verdict].append(p["id"])
        if verdict != "passed":
            print(f"{verdict}: {p['id']}{'' if p['scored'] else ' (not scored)'} wants {p['expected']!r}, got {o}")
        assert p["scored"] or not o.bad, (p["id"], o)
    scored = sum(map(len, tally.values()))
    print(f"{scored} scored probes: {len(tally['passed'])} passed, {len(tally['stricter'])} refused more strictly, "
          f"{len(tally['on purpose'])} on purpose, {len(tally['failed'])} failed")
    assert tally["failed"] == []
    assert scored == 157 and len(tally["passed"]) + len(tally["stricter"]) == 156
