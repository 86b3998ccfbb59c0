# SPDX-License-Identifier: Apache-2.0
"""What plugins of 0.3 rely on, used by plugins of the tests: questions with every field, models/1, refusals of both dialects, what is kept
until a ctx goes, and capabilities."""
import hashlib

import chimera as kit
import pytest

CONFIG = {"t_infer": {}, "t_refuse": {}, "t_degraded": {}, "health": {},
          "dryrun": {"models": "small, hung, bad", "default_model": "small", "dimensions": 4, "hang": "100%", "faulty_models": "hung"}}


def infer(server, **query):
    """{field: text}, and the lines for fields that come more than once."""
    r = server.get("/infer?" + "&".join(f"{k}={v}" for k, v in query.items()))
    assert r.status == 200, r
    lines = r.text.splitlines()
    return {line.split(" ", 1)[0]: line.partition(" ")[2] for line in lines}, lines


def test_a_question_has_its_answer(server):
    out, _ = infer(server, text="hello")
    assert out["code"] == "0" and out["backend"] == "dryrun" and out["model"] == out["rule"] == "small" and out["finish_reason"] == "stop"
    assert "asked" not in out, "the client named no model"
    assert out["text"].startswith("dryrun: ") and out["tokens"] == "1 16" and out["attempts"] == "0" and out["first_delta"] == "0"


def test_a_seed_gives_another_answer_and_the_same_one_the_same(server):
    plain, five, again, six = (infer(server, text="hello", **q)[0]["text"] for q in ({}, {"seed": 5}, {"seed": 5}, {"seed": 6}))
    assert five == again and len({plain, five, six}) == 3


def test_stop_and_max_end_it(server):
    whole = infer(server, text="hello")[0]["text"]
    third = whole.split()[2]
    cut, _ = infer(server, text="hello", stop=third)
    assert cut["text"].rstrip() == whole[:whole.index(third)].rstrip() and cut["finish_reason"] == "stop"
    short, _ = infer(server, text="hello", max=3)
    assert short["text"] == " ".join(whole.split()[:3]) and short["finish_reason"] == "length"


def test_a_rule_lets_a_model_pass_that_is_not_listed_and_another_is_not_found(server):
    out, _ = infer(server, text="hello", model="large")
    assert out["code"] == "28" and "large" in out["detail"] and "text" not in out
    out, _ = infer(server, text="hello", model="large", rule="lar*", retry=1, budget=5000, connect=1000)
    assert out["code"] == "0" and out["model"] == out["asked"] == "large" and out["rule"] == "lar*"


def test_what_a_backend_cannot_do_is_a_bad_request_or_not_implemented(server):
    assert infer(server, text="hello", needs=2)[0]["code"] == "1"
    assert infer(server, op=4)[0]["code"] == "16"


def test_a_model_that_hangs_is_timed_out(server):
    assert infer(server, text="hello", model="hung", total=50)[0]["code"] == "25"


def test_embeddings_models_and_a_probe(server):
    out, _ = infer(server, op=3, text="hello", base64=1)
    assert out["code"] == "0" and out["vector"].startswith("4 ")
    _, lines = infer(server, op=5)
    assert [line for line in lines if line.startswith("served ")] == [f"served {m} dryrun 0 0" for m in ("small", "hung", "bad")]
    assert infer(server, op=6)[0]["code"] == "0"


def test_about(server):
    assert server.get("/infer/about").text == "provider dryrun\nops 0x6e\ncan 0x5\nmade_up 1\nconf yes\n"


# ---- models/1


def test_manifests(chimera, plugins, tmp_path):
    if not kit.has_plugin(plugins, "model_registry"):
        pytest.skip("model_registry is not built")
    there = tmp_path / "models" / "there"
    there.parent.mkdir()
    there.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    c = chimera({"t_infer": {}, "dryrun": {}, "model_registry": {"dir": str(there.parent)},
                 "model_registry.gemma3:latest": {"path": "there", "revision": "r1", "context": 8192, "backend": "dryrun", "sha256": digest},
                 "model_registry.absent": {}})
    one, two = c.get("/infer/manifests").text.splitlines()
    assert one == (f"gemma3:latest path={there} revision=r1 sha256={digest} backend=dryrun context=8192 bytes=7 "
                   f"created={int(there.stat().st_mtime)}")
    assert two == f"absent path={there.parent}/absent revision= sha256= backend= context=0 bytes=-1 created=0"


# ---- refusals


def test_a_route_of_openais_dialect_refuses_in_both_forms(server):
    r = server.get("/refuse/openai?code=25&retry=1500&param=model&detail=slow")
    assert r.status == 503 and r.header("retry-after") == "2" and r.header("retry-after-ms") == "1500"
    doc = r.json()
    assert doc["code"] == "upstream_timeout" and doc["detail"] == "slow" and doc["param"] == "model"
    assert doc["error"] == {"message": "slow", "type": "server_error", "param": "model", "code": "upstream_timeout"}


def test_an_upstreams_own_error_is_shown_there_and_nowhere_else(server):
    theirs = {"message": "theirs", "type": "their_type", "param": None, "code": "their_code"}
    assert server.get("/refuse/openai?code=1&error=1").json()["error"] == theirs
    assert "error" not in server.get("/refuse/plain?code=1&error=1").json()


def test_a_refusal_may_have_a_registered_type_and_members_of_its_own(server):
    doc = server.get("/refuse/openai?code=13&retry=1500&more=1").json()
    assert doc["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded" and doc["code"] == "rate_limited"
    assert doc["violated-policies"] == ["requests"] and doc["left"] == 0 and doc["error"]["code"] == "rate_limited"


def test_a_refusal_without_detail_has_the_codes_title(server):
    doc = server.get("/refuse/plain?code=27").json()
    assert doc["code"] == "upstream_busy" and doc["detail"]


# ---- what is kept


@pytest.mark.parametrize("wait", [0, 1])
def test_what_a_ctx_keeps_is_let_go_when_it_goes_the_last_one_first(server, wait):
    server.get("/keep/let-go")
    assert server.get(f"/keep?n=3&wait={wait}").text == "kept"
    seen = []
    kit.wait_for(lambda: seen.extend(server.get("/keep/let-go").text.split()) or seen == ["3", "2", "1"], "all to be let go")


# ---- capabilities


def test_a_capability_is_told_and_shown_in_health(server):
    assert server.get("/capability?name=gemma3:latest").text == "told"
    assert "t_degraded gemma3:latest yes" in server.get("/capability/list").text.splitlines()
    assert server.get("/health", kind="status").json()["capabilities"]["t_degraded.gemma3:latest"] is True
    server.get("/capability?name=gemma3:latest&there=0")
    assert "t_degraded gemma3:latest no" in server.get("/capability/list").text.splitlines()


def test_the_server_tells_what_a_start_is_to_do(server):
    told = dict(line.split(" ", 1) for line in server.get("/inspect/server").text.splitlines())
    assert told["vendor_pings"] == "0" and int(told["check_timeout_ms"]) > 0
