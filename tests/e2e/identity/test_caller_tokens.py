# SPDX-License-Identifier: Apache-2.0
"""The openai backend with its callers' own tokens, and a new encryption key under way."""
import pytest
from admin import ask, ctl, done
from databases import KEY
from ctl import needs_ctl

import canary
import chimera as kit

ONCE = "postgresql"  # see ../conftest.py

pytestmark = needs_ctl
SECRET = canary.of("sk-server")


@pytest.fixture
def gateway(start, store, provider, plugins):
    for name in ("openai", "api_openai", "router", "http_client"):
        if not kit.has_plugin(plugins, name):
            pytest.skip(f"{name} is not built")

    def one(identity=None, **openai):
        more = {"http_client": {}, "openai": {"base_url": f"http://127.0.0.1:{provider.port}/v1", "api_key": SECRET, "models": "gpt-*, bad-*",
                                             "caller_tokens": "identity", **openai},
                "router": {"retries": 0}, "api_openai": {}, "trace": {}}
        return start(store, identity=identity, **more)

    return one


def chat(c, owner=None, model="gpt-4"):
    headers = [("Content-Type", "application/json")] + ([("X-Owner", owner)] if owner else [])
    return c.request("POST", "/v1/chat/completions", f'{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}', headers)


def sent(provider):
    """Whose key the last request came with."""
    return provider.requests[-1].field("Authorization")


def test_who_has_a_token_of_his_own_asks_with_it(gateway, provider):
    c = gateway()
    done(c, "POST", "/admin/tokens", 201, user="alice", provider="openai", access="sk-alice-canary")
    assert chat(c, "alice").status == 200 and sent(provider) == "Bearer sk-alice-canary"
    assert chat(c, "bob").status == 200 and sent(provider) == f"Bearer {SECRET}"
    assert chat(c).status == 200 and sent(provider) == f"Bearer {SECRET}"
    misses = c.metric("chimera_identity_cache_misses_total", kind="tokens")
    for _ in range(5):
        chat(c, "alice")
    assert c.metric("chimera_identity_cache_misses_total", kind="tokens") <= misses + 1  # the common case asks no database
    assert ctl(c, "tokens", "revoke", "alice", "openai").startswith("1 tokens of alice at openai are revoked")
    kit.wait_for(lambda: chat(c, "alice").status == 200 and sent(provider) == f"Bearer {SECRET}", "the revocation")
    assert "canary" not in c.stderr()


def test_where_only_callers_tokens_count_others_are_told_what_to_do(gateway, provider):
    c = gateway(caller_tokens_only="yes", caller_provider="my-openai")
    done(c, "POST", "/admin/tokens", 201, user="alice", provider="my-openai", access="sk-alice-canary")
    assert chat(c, "alice").status == 200 and sent(provider) == "Bearer sk-alice-canary"
    n = len(provider.requests)
    for owner in ("bob", None):
        r = chat(c, owner)
        assert r.status == 403 and "sign in" in r.text, r
    assert len(provider.requests) == n
    assert c.get("/health", kind="status").status == 200


def test_a_token_that_cannot_be_read_is_a_503(gateway, store):
    c = gateway()
    done(c, "POST", "/admin/tokens", 201, user="alice", provider="openai", access="sk-alice-canary")
    store.change("UPDATE provider_tokens SET key_id = 'lost'")
    store.change("UPDATE identity_revision SET tokens = tokens + 1")
    kit.wait_for(lambda: chat(c, "alice").status == 503, "the change to be seen")
    assert c.wait_said("encryption_keys_old")


def test_the_encryption_key_is_replaced_without_losing_a_token(gateway, start, store, provider):
    fresh = "f" * 64
    c = gateway()
    for i in range(30):
        done(c, "POST", "/admin/tokens", 201, user=f"u{i}", provider="openai", access=f"sk-{i}-canary")
    old = store.rows("SELECT DISTINCT key_id FROM provider_tokens")[0]
    c.stop()
    c = gateway(identity={"encryption_key": fresh, "encryption_keys_old": KEY, "cleanup": "1s"})
    assert chat(c, "u7").status == 200 and sent(provider) == "Bearer sk-7-canary"
    kit.wait_for(lambda: old not in store.rows("SELECT DISTINCT key_id FROM provider_tokens"), "all rows to be encrypted anew")
    assert c.metric("chimera_identity_tokens_rekeyed_total") == 30
    c.stop()
    c = gateway(identity={"encryption_key": fresh})  # the old key is not needed any more
    assert chat(c, "u7").status == 200 and sent(provider) == "Bearer sk-7-canary"
    assert ask(c, "GET", "/admin/tokens").status == 200
