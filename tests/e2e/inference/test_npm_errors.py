# SPDX-License-Identifier: Apache-2.0
"""What the official npm client makes of errors: which exception it throws, how often it asks again, and what an abort or its timeout does
to the upstream."""
import gateway as gw
import npm
import pytest

import chimera as kit

MESSAGES = [{"role": "user", "content": "Say hello"}]
FRAME_MS = 1500  # in which a busy machine, too, gets an abort from one end to the other


def config(port):
    return gw.sections(port, router={"first_token_timeout": "10s", "timeout": "10s", "idle_timeout": "10s", "budget": "20s"})


# model: (class, status, code, how often the upstream was asked). The client itself repeats 408, 409, 429 and 5xx twice, unless it is told.
ERRORS = {
    "bad-status-400": ("BadRequestError", 400, "up_400", 1),
    "bad-status-404": ("NotFoundError", 404, "up_404", 1),
    "bad-status-413": ("APIError", 413, "up_413", 1),
    "bad-status-415": ("APIError", 415, "up_415", 1),
    "bad-status-422": ("UnprocessableEntityError", 422, "up_422", 1),
    "bad-status-401": ("InternalServerError", 503, "upstream_auth", 1),
    "bad-status-403": ("InternalServerError", 503, "upstream_auth", 1),
    "bad-status-429": ("RateLimitError", 429, "upstream_rate_limited", 3),
    "bad-status-500": ("InternalServerError", 503, "upstream_error", 3),
    "bad-status-503": ("InternalServerError", 503, "upstream_error", 3),
    "bad-rst-before-head": ("InternalServerError", 503, "upstream_error", 3),
    "bad-garbage": ("InternalServerError", 503, "upstream_invalid", 3),
    "bad-error-in-200": ("InternalServerError", 503, "upstream_error", 3),
    "nobody-has-this": ("NotFoundError", 404, "model_not_found", 0),
    "dead-end": ("InternalServerError", 503, "upstream_unavailable", 0),
}
STREAMS = {"bad-error-mid": "upstream_error", "bad-rst-mid": "upstream_error", "bad-infinite-line-mid": "upstream_invalid"}


def jobs():
    all_of = {m: npm.job("chat.completions.create", {"model": m, "messages": MESSAGES}) for m in ERRORS}
    all_of.update({m + " stream": npm.job("chat.completions.create", {"model": m, "messages": MESSAGES, "stream": True}) for m in STREAMS})
    all_of["abort"] = npm.job("chat.completions.create", {"model": f"words-50-{FRAME_MS}", "messages": MESSAGES, "stream": True},
                              abort_after=3)
    all_of["abort ollama"] = npm.job("chat.completions.create", {"model": f"ollama-words-50-{FRAME_MS}", "messages": MESSAGES,
                                                                 "stream": True}, abort_after=3)
    all_of["abort whole"] = npm.job("chat.completions.create", {"model": f"words-51-{FRAME_MS}", "messages": MESSAGES}, abort_ms=2000)
    all_of["timeout"] = npm.job("chat.completions.create", {"model": "bad-stall-before-head", "messages": MESSAGES},
                                client={"timeout": 2000, "maxRetries": 0})
    all_of["bad value"] = npm.job("chat.completions.create", {"model": "gpt-test", "messages": "Say hello"})
    all_of["no messages"] = npm.job("chat.completions.create", {"model": "gpt-test", "messages": []})
    all_of["no route"] = npm.job("images.generate", {"model": "gpt-test", "prompt": "a cat"})
    return all_of


@pytest.fixture(scope="module")
def results(gateway):
    return npm.run(gateway.url + "/v1", jobs())


@pytest.mark.parametrize("model", ERRORS)
def test_an_error_is_of_the_right_class_and_asked_again_only_where_that_helps(results, provider, model):
    name, status, code, asked = ERRORS[model]
    e = results[model]["error"]
    assert (e["class"], e["status"], e["code"]) == (name, status, code), e
    assert len(provider.of(model)) == asked
    assert e["message"] and e["request_id"] == e["headers"]["x-request-id"]
    assert gw.SECRET not in str(e)


@pytest.mark.parametrize("model", STREAMS)
def test_a_stream_that_breaks_is_an_error_after_what_came(results, model):
    r = results[model + " stream"]
    assert len(r["chunks"]) == 2 and r["chunks"][1]["choices"][0]["delta"]["content"] == "Hello"
    e = r["error"]
    assert e["class"] == "APIError" and e["code"] == STREAMS[model] and e["message"], e


@pytest.mark.parametrize("name, model, frames", [("abort", f"words-50-{FRAME_MS}", 3), ("abort ollama", f"ollama-words-50-{FRAME_MS}", 3)])
def test_an_aborted_stream_closes_the_upstream_before_its_next_frame(results, provider, name, model, frames):
    assert len(results[name]["chunks"]) == frames and "error" not in results[name]
    request, = provider.of(model)
    assert request.ended.wait(kit.DEADLINE)
    assert request.gone and request.sent <= frames


def test_an_aborted_request_closes_the_upstream(results, provider):
    assert results["abort whole"]["error"]["class"] == "APIUserAbortError"
    request, = provider.of(f"words-51-{FRAME_MS}")
    assert request.ended.wait(kit.DEADLINE) and request.gone


def test_the_client_s_timeout_is_not_outlived(results, provider):
    """It tells us its timeout, so that either side's may end it."""
    e = results["timeout"]["error"]
    assert e["class"] == "APIConnectionTimeoutError" or (e["status"], e["code"]) == (503, "upstream_timeout"), e
    request, = provider.of("bad-stall-before-head")
    assert request.conn.closed.wait(kit.DEADLINE)


def test_a_wrong_value_is_named(results):
    e = results["bad value"]["error"]
    assert (e["class"], e["status"], e["code"], e["param"], e["type"]) == (
        "BadRequestError", 400, "bad_request", "messages", "invalid_request_error"), e
    assert results["no messages"]["error"]["param"] == "messages"


def test_a_route_that_is_not_there_says_which_are(results):
    e = results["no route"]["error"]
    assert (e["class"], e["status"]) == ("NotFoundError", 404) and "/v1/chat/completions" in e["message"], e
