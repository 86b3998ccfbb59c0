# SPDX-License-Identifier: Apache-2.0
"""Users, keys and tokens in a database: what routes and commands do, what several servers see, what is counted."""
import json
import os
import time

import pytest
from admin import ask, ctl, done, look_up, make_key
from databases import KEY
from ctl import needs_ctl, run_chimeractl

import chimera as kit

ONCE = "postgresql"  # see ../conftest.py

pytestmark = needs_ctl
ODD = "O'Brien \"; DROP TABLE users; -- \U0001f600 \u00e9"


def test_a_user_is_created_and_listed(start, store):
    c = start(store)
    made = done(c, "POST", "/admin/users", 201, id="alice/x@y", name=ODD, email="a'@b", role="admin")
    assert made["created"].startswith("20") and made["disabled"] is False
    assert done(c, "GET", "/admin/users/alice/x@y") == made
    assert done(c, "GET", "/admin/users") == {"data": [made], "next": None}
    assert store.rows("SELECT name, email, role FROM users") == [(ODD, "a'@b", "admin")]
    assert ask(c, "POST", "/admin/users", id="alice/x@y").problem(409, "conflict")["param"] == "id"
    assert done(c, "PATCH", "/admin/users/alice/x@y", disabled=True, email=None)["email"] == ""
    assert ODD in ctl(c, "users", "list") and "\nemail      -\n" in ctl(c, "users", "show", "alice/x@y")
    assert ask(c, "DELETE", "/admin/users/alice/x@y").status == 204
    ask(c, "GET", "/admin/users/alice/x@y").problem(404, "not_found")


def test_values_that_cannot_be_are_refused_by_their_field(start, store):
    c = start(store)
    for field, value in (("id", "a b"), ("id", "x" * 129), ("name", "x\0y"), ("name", "x" * 257), ("email", "x\ny"), ("role", "king")):
        p = ask(c, "POST", "/admin/users", **{"id": "alice", field: value}).problem(400, "bad_request")
        assert p["param"] == field, p
    assert ctl(c, "users", "add", "alice", "nmae=x", code=1).count("did you mean name?") == 1
    assert store.rows("SELECT count(*) FROM users") == [("0",)]
    long = "\U0001f600" * 64
    assert done(c, "POST", "/admin/users", 201, id="x" * 128, name=long)["name"] == long
    for route in ("users", "keys", "tokens"):  # the routes are the operator's alone
        c.get(f"/admin/{route}").problem(403, "forbidden")


def test_pages_hold_all_in_the_order_of_bytes(start, store):
    c = start(store)
    ids = ["A", "B", "Z", "_", "a", "b:1", "b@1", "z"]
    for name in ids[::-1]:
        done(c, "POST", "/admin/users", 201, id=name)
    got, after = [], ""
    while after is not None:
        page = done(c, "GET", f"/admin/users?limit=3&after={after.replace(':', '%3A').replace('@', '%40')}" if after else "/admin/users?limit=3")
        got += [u["id"] for u in page["data"]]
        after = page["next"]
    assert got == sorted(ids)


def test_a_revocation_is_seen_by_a_second_server_within_a_second(start, store):
    a, b = start(store), start(store)
    key, secret = make_key(a, "alice", "tier=gold", "expires=30d")
    found = look_up(b, secret)
    assert (found["error"], found["id"], found["owner"], found["tier"], found["disabled"]) == ("ok", key, "alice", "gold", False)
    kit.wait_for(lambda: look_up(b, secret)["at_once"], "an answer from memory")
    other = make_key(a, "bob")[1]
    kit.wait_for(lambda: look_up(b, other)["error"] == "ok", "a new key to work there")
    took = []
    for i in range(5):  # the machine may be busy otherwise
        began = time.monotonic()
        ctl(a, "keys", "revoke", key)
        assert look_up(a, secret)["disabled"]  # here at once
        kit.wait_for(lambda: look_up(b, secret)["disabled"], "the revocation to be seen by the other server")
        took.append(time.monotonic() - began)
        if took[-1] < 1.5:
            break
        key, secret = make_key(a, f"alice{i}")
        kit.wait_for(lambda: look_up(b, secret)["error"] == "ok", "a new key to work there")
    assert min(took) < (3 if kit.SANITIZERS else 1.5), took  # a second, and what looking takes
    ctl(b, "users", "add", "bob")
    ctl(b, "users", "disable", "bob")
    kit.wait_for(lambda: look_up(a, other)["disabled"], "a disabled owner's key to be disabled there")
    rotated = make_key(a, "carol")
    assert look_up(b, rotated[1])["error"] == "ok"
    ctl(a, "keys", "rotate", rotated[0])
    kit.wait_for(lambda: look_up(b, rotated[1])["error"] == "unknown", "the old secret to be forgotten there")


def test_commands_work_without_a_server(start, store, chimera):
    c = start(store)
    ctl(c, "users", "add", "alice")
    c.stop()
    assert "alice" in run_chimeractl("-c", c.path, "--offline", "users", "list").stdout
    made = run_chimeractl("-c", c.path, "--offline", "keys", "create", "alice")
    assert made.returncode == 0 and "\nkey  ck_" in made.stdout, made.stderr
    assert run_chimeractl("-c", c.path, "--offline", "users", "show", "nobody").returncode == 1
    c.start()
    kit.wait_for(lambda: ask(c, "GET", "/admin/users").status == 200, "the store")
    assert [k["owner"] for k in done(c, "GET", "/admin/keys")["data"]] == ["alice"]
    assert look_up(c, made.stdout.split()[3])["error"] == "ok"


def test_requests_are_counted_by_their_owner_to_the_last_one(start, store):
    c = start(store, identity={"flush_interval": "1h"})
    for i in range(60):
        assert c.request("GET", "/t/revision", headers=[("X-Owner", "alice" if i % 3 else "bob'")]).status == 200
    c.stop()  # what was not written yet is written at the end
    assert store.rows("SELECT user_id, logins, requests FROM user_stats ORDER BY user_id") == [("alice", "1", "40"), ("bob'", "1", "20")]
    c.start()
    kit.wait_for(lambda: ask(c, "GET", "/admin/users").status == 200, "the store")
    c.request("GET", "/t/revision", headers=[("X-Owner", "alice")])
    c.stop()
    assert store.rows("SELECT logins, requests FROM user_stats WHERE user_id = 'alice'") == [("1", "41")]


def test_a_reload_loses_no_count(start, store):
    c = start(store, identity={"flush_interval": "1h"})
    c.request("GET", "/t/revision", headers=[("X-Owner", "alice")])
    with open(c.path, encoding="utf-8") as f:
        text = f.read()
    with open(c.path, "w", encoding="utf-8") as f:
        f.write(text.replace("flush_interval = 1h", "flush_interval = 200ms"))
    assert run_chimeractl("--socket", os.path.join(c.state, "control.sock"), "reload").returncode == 0
    kit.wait_for(lambda: store.rows("SELECT requests FROM user_stats WHERE user_id = 'alice'") == [("1",)], "the count")


def test_old_tokens_go_by_the_clock(start, store):
    c = start(store, identity={"cleanup": "1s", "token_keep": "0s"})
    done(c, "POST", "/admin/tokens", 201, user="alice", provider="openai", access="x", expires="1s")
    kept = done(c, "POST", "/admin/tokens", 201, user="alice", provider="openai", access="y")
    kit.wait_for(lambda: store.rows("SELECT id FROM provider_tokens") == [(kept["id"],)], "the expired one to go")
    assert c.wait_said("tokens: 1 that were over have been removed")
    assert c.metric("chimera_identity_tokens_cleaned_total") == 1


def test_the_schema_is_as_the_files_say(start, store):
    c = start(store)
    assert run_chimeractl("--socket", os.path.join(c.state, "control.sock"), "schema", "status").returncode == 0


def test_without_a_key_tokens_are_refused_with_one_sentence(start, store):
    c = start(store, identity={"encryption_key": None})
    p = ask(c, "POST", "/admin/tokens", user="alice", provider="openai", access="x").problem(503, "unavailable")
    assert "encryption_key" in p["detail"]
    assert look_up(c, make_key(c, "alice")[1])["error"] == "ok"


def test_a_bad_encryption_key_is_refused_at_the_start(plugins, tmp_path):
    if not kit.has_plugin(plugins, "identity") or not kit.has_plugin(plugins, "storage_sqlite"):
        pytest.skip("identity or storage_sqlite is not built")
    (tmp_path / "c.ini").write_text(f"[server]\nplugin_dir = {plugins}\nstate_dir = {tmp_path}\n[storage_sqlite]\n"
                                    f"[identity]\nencryption_key = not-a-canary\n")
    (tmp_path / "c.ini").chmod(0o600)
    r = kit.run_chimerad("--check", "-c", tmp_path / "c.ini")
    assert r.returncode == 78 and "openssl rand -hex 32" in r.stderr + r.stdout and "not-a-canary" not in r.stderr + r.stdout


def test_secrets_are_nowhere_in_the_clear(start, store):
    c = start(store, log={"level": "debug"})
    canaries = ["sk-canary-4711", "rf-canary-4711", KEY]
    token = done(c, "POST", "/admin/tokens", 201, user="alice", provider="openai", access=canaries[0], refresh=canaries[1])
    key, secret = make_key(c, "alice")
    canaries.append(secret[7:])  # "ck_" and four more may be seen
    seen = [json.dumps(done(c, "GET", "/admin/tokens")), json.dumps(done(c, "GET", f"/admin/tokens/{token['id']}")), ctl(c, "tokens", "list"),
            ctl(c, "keys", "list"), json.dumps(done(c, "GET", f"/admin/keys/{key}")), c.get("/metrics", kind="status").text]
    for _ in range(2):
        look_up(c, secret)
    dump = kit.run_chimerad("-T", "-c", c.path)
    seen += [dump.stdout, dump.stderr]
    c.stop()
    seen.append(c.stderr())
    for text in seen:
        assert not [s for s in canaries if s in text], text
    hexes = [s.encode().hex().encode() for s in canaries]
    for path in store.files():
        with open(path, "rb") as f:
            data = f.read()
        assert not [s for s in canaries if s.encode() in data] and not [s for s in hexes if s in data], path
    assert store.rows("SELECT prefix FROM api_keys") == [(secret[:7],)]


def test_a_key_for_nobody_is_refused_with_the_nearest_user(start, store):
    c = start(store)
    ctl(c, "users", "add", "alice")
    assert "there is no user alcie (did you mean alice?)" in ctl(c, "keys", "create", "alcie", code=1)
    assert ask(c, "POST", "/admin/keys", owner="alcie").problem(400, "bad_request")["param"] == "owner"
    assert store.rows("SELECT count(*) FROM api_keys") == [("0",)]
    ctl(c, "keys", "create", "alice")
    done(c, "POST", "/admin/keys", 201, owner="robot", any_owner=True)
    rows = [json.loads(line) for line in ctl(c, "--json", "keys", "list").splitlines()]
    assert ["alice" in r.get("out", "") or "robot" in r.get("out", "") for r in rows].count(True) == 2  # a row is one line
    keys = [json.loads(line) for line in ctl(c, "keys", "list", "--json").splitlines()]
    assert sorted(key["owner"] for key in keys) == ["alice", "robot"]
    assert {key["id"]: key for key in keys} == {key["id"]: key for key in done(c, "GET", "/admin/keys")["data"]}


def test_a_lost_encryption_key_is_told_after_a_reload(start, store):
    c = start(store)
    token = done(c, "POST", "/admin/tokens", 201, user="alice", provider="openai", access="x")
    with open(c.path, encoding="utf-8") as f:
        text = f.read()
    with open(c.path, "w", encoding="utf-8") as f:
        f.write(text.replace(KEY, "ff" * 32))
    ctl(c, "reload")
    assert c.wait_said(f"1 token cannot be read: put the key of key_id {token['key_id']} into encryption_keys_old")
    assert token["key_id"] in ctl(c, "tokens", "cleanup")
