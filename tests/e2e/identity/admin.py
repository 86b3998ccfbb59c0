# SPDX-License-Identifier: Apache-2.0
"""What the operator asks for, over the control socket; and what a client's key is, by t_owner."""
import json
import re

import canary
from ctl import control_path, run_chimeractl


def ask(c, method, target, **body):
    """A request to an ADMIN route."""
    data = json.dumps(body, ensure_ascii=False).encode() if body else None
    return c.request(method, target, data, kind="control")


def done(c, method, target, status=200, **body):
    r = ask(c, method, target, **body)
    assert r.status == status, (method, target, r.status, r.body)
    return r.json() if r.body else None


def ctl(c, *words, code=0):
    """chimeractl in the running server; what it printed, or why it did not go well."""
    r = run_chimeractl("--socket", control_path(c), *words)
    assert r.returncode == code, (words, r.stdout, r.stderr)
    return r.stdout if not code else r.stderr


def make_key(c, owner, *words):
    """(id, secret), as chimeractl shows them; the owner need not be a user."""
    text = ctl(c, "keys", "create", owner, "--any-owner", *words)
    return re.search(r"^id +(\S+)$", text, re.M)[1], canary.add(re.search(r"^key +(\S+)$", text, re.M)[1])


def look_up(c, secret):
    r = c.request("GET", "/t/key", headers=[("X-Key", secret)])
    assert r.status == 200, r.body
    return r.json()
