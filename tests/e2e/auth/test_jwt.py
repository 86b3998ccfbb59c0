# SPDX-License-Identifier: Apache-2.0
"""Tokens: three signatures, an issuer that rotates its keys, is away or talks nonsense, and everything that must not come in."""
import hashlib
import hmac
import json
import time

import pytest
from issuer import AUDIENCE, ISSUER, Issuer, Key, b64, needs_openssl, write_set

import chimera as kit

pytestmark = needs_openssl
ALGS = ["RS256", "ES256", "EdDSA"]


@pytest.fixture(scope="module")
def keys():
    return {alg: Key(alg, f"k-{alg}") for alg in ALGS}


@pytest.fixture(scope="module")
def others():
    """Keys of the same kids, of somebody else."""
    return {alg: Key(alg, f"k-{alg}") for alg in ALGS}


@pytest.fixture
def issuer(keys):
    i = Issuer(*keys.values())
    yield i
    i.end()


@pytest.fixture
def serve(chimera, issuer):
    def start(**options):
        return chimera({"auth": issuer.config(**options), "http_client": {}, "t_loop": {}})
    return start


def ask(c, token, target="/ctx/facts"):
    return c.get(target, headers=[("Authorization", f"Bearer {token}")])


def refused(c, token):
    """The one answer to all that is wrong, without what belongs to the one request."""
    r = ask(c, token)
    p = r.problem(401, "unauthorized")
    return r.header("WWW-Authenticate"), r.header("Content-Length"), {k: v for k, v in p.items() if k not in ("req_id", "instance", "request_id")}


@pytest.mark.parametrize("alg", ALGS)
def test_a_token_is_good_with_each_signature(serve, keys, alg):
    c = serve()
    for _ in range(2):  # the second one is known
        assert ask(c, keys[alg].token(sub=f"mary-{alg}", tier="premium")).status == 200
    c.wait_said(f"owner jwt:mary-{alg} tier premium")


def test_what_is_wrong_gets_one_answer(serve, keys, others):
    c = serve()
    key = keys["ES256"]
    good = key.token()
    assert ask(c, good).status == 200
    now = int(time.time())
    head, claims, signature = good.split(".")
    public = json.dumps({"keys": [keys["RS256"].jwk()]}).encode()
    forged = b64(json.dumps({"alg": "HS256", "kid": "k-RS256"})) + "." + claims

    def hs256(secret):
        return forged + "." + b64(hmac.new(secret, forged.encode(), hashlib.sha256).digest())

    wrong = {
        "not a token at all": "sk-" + "a" * 40,
        "expired": key.token(exp=now - 600),
        "no exp": key.token(exp=None),
        "not yet": key.token(nbf=now + 600),
        "another issuer": key.token(iss="https://evil.example/"),
        "another audience": key.token(aud="other"),
        "no owner": key.token(sub=None),
        "an unknown tier": key.token(tier="gold"),
        "no models": key.token(models=[]),
        "a line end": key.token(sub="mary\r\nX-Admin: 1"),
        "somebody else's key": others["ES256"].token(),
        "an unknown kid": Key("EdDSA", "nobody").token(),
        "tampered claims": f"{head}.{b64(json.dumps({'iss': ISSUER, 'aud': AUDIENCE, 'sub': 'root', 'exp': now + 600}))}.{signature}",
        "tampered signature": f"{head}.{claims}.{'B' if signature[0] != 'B' else 'C'}{signature[1:]}",
        "no signature": f"{head}.{claims}.",
        "none": f"{b64(json.dumps({'alg': 'none'}))}.{claims}.",
        "none, signed": key.token(header={"alg": "none"}),
        "HS256 by the public key": hs256(openssl_pem(keys["RS256"])),
        "HS256 by the document": hs256(public),
        "alg of another key": keys["RS256"].token(header={"kid": "k-ES256"}),
        "crit": key.token(header={"crit": ["exp"]}),
        "a key of its own": others["ES256"].token(header={"jwk": others["ES256"].jwk(), "jku": "http://127.0.0.1:1/"}),
        "another kind of token": key.token(header={"typ": "logout+jwt"}),
        "padded": good + "=",
        "too long": key.token(x="x" * 9000),
    }
    answers = {why: refused(c, token) for why, token in wrong.items()}
    assert len({json.dumps(a) for a in answers.values()}) == 1, answers
    assert ask(c, good).status == 200


def openssl_pem(key):
    from issuer import openssl
    return openssl("pkey", "-in", key.file.name, "-pubout")


def test_a_key_of_1024_bits_is_not_taken(serve, issuer, keys):
    weak = Key("RS256", "weak", bits=1024)
    issuer.keys = [keys["EdDSA"], weak]
    c = serve()
    assert ask(c, keys["EdDSA"].token()).status == 200
    refused(c, weak.token())
    c.wait_said("key 2 cannot be used: it has less than 2048 bits")


def test_a_token_is_an_admin_only_if_that_is_allowed(serve, keys):
    token = keys["EdDSA"].token(role=["dev", "admin"])
    c = serve()
    assert ask(c, token).status == 200
    c.wait_said("role 1 owner jwt:mary")
    c.stop()
    c = serve(jwt_admin="yes")
    assert ask(c, token).status == 200
    c.wait_said("role 2 owner jwt:mary")


def test_a_token_that_was_good_passes_where_too_many_wrong_ones_came_from(serve, keys):
    c = serve(failures="1/h", failures_burst="5")
    known, new = keys["EdDSA"].token(), keys["EdDSA"].token(sub="anne")
    assert ask(c, known).status == 200
    kit.wait_for(lambda: ask(c, known + "x").status == 429, "too many wrong tokens")
    assert [ask(c, t).status for t in (known, new)] == [200, 429]


def test_claims_have_the_names_that_the_config_gives_them(serve, keys):
    c = serve(jwt_owner_claim="https://claims.example/team", jwt_owner_prefix="team/", jwt_tier_claim="plan", jwt_tier="premium")
    assert ask(c, keys["EdDSA"].token({"https://claims.example/team": "red"})).status == 200
    c.wait_said("owner team/red tier premium")
    assert ask(c, keys["EdDSA"].token({"https://claims.example/team": "blue", "plan": "api_key"})).status == 200
    c.wait_said("owner team/blue tier api_key")
    refused(c, keys["EdDSA"].token())


def test_a_new_key_is_known_at_once_and_the_old_one_goes(serve, issuer, keys):
    issuer.keys = [keys["ES256"]]
    c = serve(jwks_retry="1s")
    old = keys["ES256"].token()
    assert ask(c, old).status == 200
    issuer.keys = [keys["EdDSA"]]
    kit.wait_for(lambda: ask(c, keys["EdDSA"].token()).status == 200, "the new key")
    refused(c, old)
    before, began = issuer.asked, time.monotonic()
    for _ in range(50):
        refused(c, Key.token(keys["RS256"]))  # its kid is not there: asked for once a second at most
    assert issuer.asked - before <= 2 + time.monotonic() - began


def test_keys_are_good_while_their_issuer_is_away(serve, issuer, keys):
    c = serve(jwks_refresh="1s", jwks_retry="1s")
    assert ask(c, keys["ES256"].token()).status == 200
    issuer.end()
    c.wait_said("the issuer's keys cannot be fetched")
    assert ask(c, keys["ES256"].token(sub="fresh")).status == 200
    r = ask(c, Key("EdDSA", "nobody").token())
    r.problem(503, "unavailable")
    assert r.header("Retry-After")
    issuer.begin()
    c.wait_said("the issuer's keys have come")
    kit.wait_for(lambda: ask(c, Key("EdDSA", "nobody").token()).status == 401, "an issuer that answers")


def test_without_any_key_nobody_is_told_that_theirs_is_wrong(chimera, issuer, keys):
    issuer.end()
    c = chimera({"auth": issuer.config(jwks_retry="1s", jwks_wait="300ms", api_key="a-plain-key-of-32-bytes-0123456789"), "http_client": {}, "t_loop": {}})
    ask(c, keys["ES256"].token()).problem(503, "unavailable")
    assert ask(c, "a-plain-key-of-32-bytes-0123456789").status == 200
    issuer.begin()
    kit.wait_for(lambda: ask(c, keys["ES256"].token()).status == 200, "the issuer")


def test_a_request_waits_for_a_slow_issuer_but_not_for_ever(serve, issuer, keys):
    issuer.hold.clear()
    c = serve(jwks_wait="200ms")
    ask(c, keys["ES256"].token()).problem(503, "unavailable")
    issuer.hold.set()
    kit.wait_for(lambda: ask(c, keys["ES256"].token()).status == 200, "the issuer")


@pytest.mark.parametrize("body", [b"<html>maintenance</html>", b'{"keys":[{"kty":"oct","k":"AAAA"}]}'], ids=["html", "symmetric"])
def test_a_bad_document_changes_nothing_and_is_said_once(serve, issuer, keys, body):
    c = serve(jwks_refresh="1s")
    assert ask(c, keys["ES256"].token()).status == 200
    issuer.body = body
    asked = issuer.asked
    kit.wait_for(lambda: issuer.asked > asked + 1, "two more fetches")
    assert ask(c, keys["ES256"].token(sub="fresh")).status == 200
    c.wait_said("what the issuer sent is no set of keys")
    assert len(c.said("what the issuer sent")) == 1, [line["msg"] for line in c.said("the issuer")]


def test_a_file_of_keys_is_read_again_when_it_changes(chimera, tmp_path, keys):
    path = tmp_path / "keys.json"
    write_set(path, keys["ES256"])
    c = chimera({"server": {"watch_interval": "100ms"}, "t_loop": {},
                 "auth": {"jwks_file": path, "jwt_issuer": ISSUER, "jwt_audiences": AUDIENCE, "anonymous": "no", "failures": "unlimited"}})
    old = keys["ES256"].token()
    assert ask(c, old).status == 200
    refused(c, keys["EdDSA"].token())
    write_set(path, keys["EdDSA"])
    kit.wait_for(lambda: ask(c, keys["EdDSA"].token()).status == 200, "the new file")
    refused(c, old)
    path.write_text("nonsense")
    c.wait_said("reload refused")
    assert ask(c, keys["EdDSA"].token()).status == 200


def test_models_of_a_token_are_all_it_may_use(chimera, issuer, keys):
    c = chimera({"auth": issuer.config(), "http_client": {}, "router": {}, "dryrun": {"models": "small, large"}, "api_openai": {}})
    token = keys["EdDSA"].token(models=["small"])

    def chat(model):
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]})
        return c.request("POST", "/v1/chat/completions", body, [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")])

    assert chat("small").status == 200
    assert chat("large").status in (403, 404)
