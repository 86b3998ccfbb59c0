# SPDX-License-Identifier: Apache-2.0
"""tokens/1 as a plugin of a third party uses it: t_tokens."""
import threading
import urllib.parse

import pytest

import chimera as kit

ONCE = "postgresql"  # see ../conftest.py

OK, BAD_REQUEST, NONE, REUSED = 0, 1, 2, 3


@pytest.fixture
def op(start, store, plugins):
    if not kit.has_plugin(plugins, "t_tokens"):
        pytest.skip("t_tokens is not built")
    c = start(store, t_tokens={"tokens": "identity"})

    def one(name, **words):
        return c.get("/t/tokens?" + urllib.parse.urlencode({"op": name, **words}, safe="@:./-_")).json()

    one.server = c
    return one


def alice(**more):
    return {"user": "alice", "provider": "openai", **more}


def test_what_was_persisted_is_given_back_whole(op):
    kept = op("persist", **alice(access="sk-1", refresh="rt-1", expires=4102444800000000))
    assert kept["error"] == OK and kept["id"] and kept["family"]
    want = {"error": OK, "id": kept["id"], "family": kept["family"], "user": "alice", "provider": "openai", "access": "sk-1", "refresh": "rt-1",
            "expires": 4102444800000000, "revoked": False}
    for got in (op("get", id=kept["id"]), op("current", **alice())):
        assert {k: got[k] for k in want} == want
    assert op("current", user="bob", provider="openai")["error"] == NONE
    assert op("get", id="nobody")["error"] == NONE


def test_a_rotated_token_is_spent_and_its_use_revokes_the_family(op):
    first = op("persist", **alice(access="sk-1", refresh="rt-1"))
    second = op("rotate", id=first["id"], access="sk-2", refresh="rt-2")
    assert second["error"] == OK and second["family"] == first["family"] and second["id"] != first["id"]
    assert op("current", **alice())["access"] == "sk-2" and op("get", id=first["id"])["revoked"] is True
    assert op("rotate", id=first["id"], access="sk-stolen")["error"] == REUSED
    assert op("current", **alice())["error"] == NONE and op("get", id=second["id"])["revoked"] is True


def test_of_many_that_rotate_at_once_one_wins(op):
    first = op("persist", **alice(access="sk-1", refresh="rt-1"))
    errors = []
    threads = [threading.Thread(target=lambda i=i: errors.append(op("rotate", id=first["id"], access=f"sk-{i}")["error"])) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(errors) == [OK] + [REUSED] * 7


def test_a_family_is_revoked_as_a_whole(op):
    first = op("persist", **alice(access="sk-1"))
    op("rotate", id=first["id"], access="sk-2")
    op("persist", user="alice", provider="azure", access="sk-other")
    assert op("revoke", **alice())["error"] == OK
    assert op("current", **alice())["error"] == NONE and op("current", user="alice", provider="azure")["access"] == "sk-other"


def test_an_expired_token_is_not_current(op):
    op("persist", **alice(access="sk-old", expires=1))
    assert op("current", **alice())["error"] == NONE


@pytest.mark.parametrize("words", [{"user": "a b"}, {"user": ""}, {"provider": "x" * 129}, {"access": ""}])
def test_a_wrong_member_is_named(op, words):
    got = op("persist", **{**alice(access="sk-1"), **words})
    assert got["error"] == BAD_REQUEST and next(iter(words)) in got["detail"]


def test_a_call_that_is_given_up_ends(op):
    got = op("persist", cancel=1, **alice(access="sk-1"))
    assert got["error"] in (OK, 5, 6)  # it had ended already, did not happen, or may have happened
    assert op("persist", **alice(access="sk-2"))["error"] == OK
