# SPDX-License-Identifier: Apache-2.0
"""The official npm package `openai`, unmodified and with its defaults, against each backend. One run of node does all of it at once."""
import json

import dialects
import gateway as gw
import npm
import pytest

MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "Say hello"}]
TOOLS = [{"type": "function", "function": {"name": name, "description": "…", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "unit": {"type": "string"}}, "required": ["city"]}}}
    for name in ("weather", "time-of_day")]
TEXT = "".join(dialects.WORDS)
MODELS = {"openai": "gpt-test", "ollama": "ollama-gemma3:4b", "llamacpp": "cpp/qwen3:8b", "dryrun": "dryrun"}
IDS = {"openai": "up", "ollama": "ollama", "llamacpp": "llamacpp", "dryrun": "dryrun"}
REAL = [b for b in MODELS if b != "dryrun"]


def config(port):
    return gw.sections(port, api_openai={"passthrough": "responses"}, router=gw.PATIENT,
                       llama__llamacpp={"base_url": gw.base(port), "dialect": "openai", "models": "cpp*"},
                       dryrun={"models": "dryrun", "answer_tokens": 20})


def chat(backend, **more):
    return npm.job("chat.completions.create", {"model": MODELS[backend], "messages": MESSAGES, **more})


def jobs():
    all_of = {}
    for b, model in MODELS.items():
        of = {
            "chat": chat(b), "stream": chat(b, stream=True),
            "usage": chat(b, stream=True, stream_options={"include_usage": True}),
            "limited": chat(b, max_tokens=2, temperature=0.5, top_p=0.9, seed=7, stop=["never"]),
            "helper": npm.job("chat.completions.stream", {"model": model, "messages": MESSAGES}, finish="finalChatCompletion"),
            "embeddings": npm.job("embeddings.create", {"model": model, "input": ["one", "two"]}),
            "floats": npm.job("embeddings.create", {"model": model, "input": ["one", "two"], "encoding_format": "float"}),
            "base64": npm.job("embeddings.create", {"model": model, "input": "one", "encoding_format": "base64"}),
            "completion": npm.job("completions.create", {"model": model, "prompt": "Say hello"}),
            "completion stream": npm.job("completions.create", {"model": model, "prompt": "Say hello", "stream": True}),
        }
        if b != "dryrun":
            of["tools"] = chat(b, tools=TOOLS)
            of["tools stream"] = chat(b, tools=TOOLS, stream=True)
            of["tools helper"] = npm.job("chat.completions.stream", {"model": model, "messages": MESSAGES, "tools": TOOLS},
                                         finish="finalChatCompletion")
        all_of.update({f"{b} {name}": job for name, job in of.items()})
    all_of["models"] = npm.job("models.list")
    for name in ("gpt-test", "Qwen/Qwen3-32B", "gemma3:latest", "dryrun", "nobody/has:this"):
        all_of[f"model {name}"] = npm.job("models.retrieve", name)
    all_of["responses"] = npm.job("responses.create", {"model": "gpt-test", "input": "Say hello"})
    all_of["responses stream"] = npm.job("responses.create", {"model": "gpt-test", "input": "Say hello", "stream": True})
    return all_of


@pytest.fixture(scope="module")
def results(gateway):
    return npm.run(gateway.url + "/v1", jobs())


def good(results, name):
    r = results[name]
    assert "error" not in r, r["error"]
    return r


@pytest.mark.parametrize("backend", MODELS)
def test_a_chat_is_answered(results, backend):
    r = good(results, f"{backend} chat")
    answer = r["value"]
    choice = answer["choices"][0]
    assert answer["object"] == "chat.completion" and answer["id"] and answer["created"] > 0 and answer["model"] == MODELS[backend]
    assert (choice["index"], choice["message"]["role"], choice["finish_reason"]) == (0, "assistant", "stop")
    assert choice["message"]["content"] == TEXT if backend in REAL else choice["message"]["content"].startswith("dryrun:")
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert r["headers"]["x-chimera-backend"] == IDS[backend] and r["request_id"] == r["headers"]["x-request-id"]


@pytest.mark.parametrize("backend", MODELS)
def test_a_stream_is_whole(results, backend):
    chunks = good(results, f"{backend} stream")["chunks"]
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)
    assert text == TEXT if backend in REAL else text == good(results, f"{backend} chat")["value"]["choices"][0]["message"]["content"]
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant" and chunks[0]["object"] == "chat.completion.chunk"
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"][0]["finish_reason"]] == ["stop"]
    assert all(c.get("usage") is None for c in chunks)


@pytest.mark.parametrize("backend", MODELS)
def test_the_usage_of_a_stream_comes_last_if_it_was_asked_for(results, backend):
    *chunks, last = good(results, f"{backend} usage")["chunks"]
    assert last["choices"] == [] and last["usage"]["completion_tokens"] > 0 and last["usage"]["prompt_tokens"] > 0
    assert all("usage" in c and c["usage"] is None and c["choices"] for c in chunks)


@pytest.mark.parametrize("backend", MODELS)
def test_the_clients_own_accumulator_accepts_the_stream(results, backend):
    answer = good(results, f"{backend} helper")["value"]
    assert answer["choices"][0]["message"]["content"] == good(results, f"{backend} chat")["value"]["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("backend", MODELS)
def test_the_common_options_reach_the_model(results, backend, provider):
    answer = good(results, f"{backend} limited")["value"]
    assert answer["choices"][0]["finish_reason"] == "length" and answer["usage"]["completion_tokens"] == 2
    if backend == "ollama":
        sent = [r.json["options"] for r in provider.of(MODELS[backend]) if "seed" in (r.json.get("options") or {})]
        assert {k: sent[0][k] for k in ("num_predict", "temperature", "top_p", "seed", "stop")} == {
            "num_predict": 2, "temperature": 0.5, "top_p": 0.9, "seed": 7, "stop": ["never"]}


@pytest.mark.parametrize("backend", REAL)
@pytest.mark.parametrize("how", ["tools", "tools helper"])
def test_tools_are_called(results, backend, how):
    choice = good(results, f"{backend} {how}")["value"]["choices"][0]
    calls = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls" and not choice["message"]["content"]
    assert [c["function"]["name"] for c in calls] == ["weather", "time-of_day"]
    assert all(c["type"] == "function" for c in calls) and len({c["id"] for c in calls}) == 2 and all(c["id"] for c in calls)
    assert [json.loads(c["function"]["arguments"]) for c in calls] == [dialects.arguments_of(t) for t in TOOLS]


@pytest.mark.parametrize("backend", REAL)
def test_tools_are_called_in_a_stream(results, backend):
    chunks = good(results, f"{backend} tools stream")["chunks"]
    calls = {}
    for c in chunks:
        for piece in c["choices"][0]["delta"].get("tool_calls") or ():
            call = calls.setdefault(piece["index"], {"name": "", "arguments": ""})
            call["name"] += piece["function"].get("name") or ""
            call["arguments"] += piece["function"].get("arguments") or ""
    assert [(calls[i]["name"], json.loads(calls[i]["arguments"])) for i in (0, 1)] == [
        (t["function"]["name"], dialects.arguments_of(t)) for t in TOOLS]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("backend", MODELS)
def test_embeddings_are_the_same_in_either_encoding(results, backend):
    """The client asks for base64 by itself, and would misread an array of floats silently."""
    default, floats = (good(results, f"{backend} {name}")["value"] for name in ("embeddings", "floats"))
    vectors = [d["embedding"] for d in default["data"]]
    assert [d["index"] for d in default["data"]] == [0, 1] and default["object"] == "list"
    if backend in REAL:
        assert vectors == [dialects.vector("one"), dialects.vector("two")]
        assert default["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert len(vectors[0]) == len(vectors[1]) and vectors[0] != vectors[1]
    assert all(abs(a - b) <= 1e-6 * max(1, abs(a)) for v, f in zip(vectors, floats["data"]) for a, b in zip(v, f["embedding"]))
    text = good(results, f"{backend} base64")["value"]["data"][0]["embedding"]
    assert isinstance(text, str) and len(text) == (4 * len(vectors[0]) + 2) // 3 * 4


@pytest.mark.parametrize("backend", MODELS)
def test_the_older_completions_are_answered(results, backend):
    answer = good(results, f"{backend} completion")["value"]
    choice = answer["choices"][0]
    assert answer["object"] == "text_completion" and choice["finish_reason"] == "stop"
    assert choice["text"] == TEXT if backend in REAL else choice["text"]
    chunks = good(results, f"{backend} completion stream")["chunks"]
    assert "".join(c["choices"][0]["text"] for c in chunks) == choice["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_models_are_listed(results):
    models = good(results, "models")["value"]
    ids = [m["id"] for m in models]
    assert len(set(ids)) == len(ids)
    assert {"gpt-test", "Qwen/Qwen3-32B", "gemma3:latest", "dryrun"} <= set(ids)
    assert all(m["object"] == "model" and isinstance(m["created"], int) and m["owned_by"] for m in models)


@pytest.mark.parametrize("name", ["gpt-test", "Qwen/Qwen3-32B", "gemma3:latest", "dryrun"])
def test_a_model_is_found_by_its_id(results, name):
    assert good(results, f"model {name}")["value"]["id"] == name


def test_a_model_that_is_not_there_is_not_found(results):
    e = results["model nobody/has:this"]["error"]
    assert (e["class"], e["status"], e["code"]) == ("NotFoundError", 404, "model_not_found")
    assert "nobody/has:this" in e["message"]


def test_responses_pass_through(results):
    answer = good(results, "responses")["value"]
    assert answer["output_text"] == TEXT
    chunks = good(results, "responses stream")["chunks"]
    assert "".join(c.get("delta", "") for c in chunks) == TEXT
    assert [c["type"] for c in chunks][-1] == "response.completed"


def test_the_client_s_key_never_reaches_the_upstream(results, provider):
    assert provider.requests
    for r in provider.requests:
        assert b"sk-client" not in r.head + r.body
        if r.method == "POST":
            assert r.field("Authorization") == (None if r.ollama or "cpp/" in r.model else f"Bearer {gw.SECRET}"), r.head
