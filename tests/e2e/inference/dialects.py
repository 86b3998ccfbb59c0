# SPDX-License-Identifier: Apache-2.0
"""What a well-behaved upstream answers, in OpenAI's dialect and in Ollama's. Always the same bytes to the same request, so that what comes
out of a gateway can be compared with what went in.

A model's name says what its answer is like: `words-200` has 200 words, `words-200-20` has one every 20 ms, `rich` has members that only
some servers send, any other five words; a word may stand before it (`ollama-words-200`). Each word is one frame of a stream.
"""
import base64
import hashlib
import json
import re
import struct

CREATED = 1700000000
WORDS = ["Hello", " wörld", " ☃", " \U0001f600\"\\", "\n."]
MODELS = ["gpt-test", "gpt-test-mini", "Qwen/Qwen3-32B", "gemma3:latest"]
DIMENSIONS = 1024


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def words_of(model):
    """(words, milliseconds between them)."""
    m = re.match(r"(?:[a-z]+-)?words-(\d+)(?:-(\d+))?$", model)
    return ([f" w{i}" for i in range(int(m[1]))], int(m[2] or 0)) if m else (WORDS, 0)


def vector(text, n=DIMENSIONS):
    """Floats that a float32 holds exactly, made of a text."""
    seed = hashlib.sha256(text.encode()).digest()
    return [(seed[i % 32] - 128) / 64 + (i % 7) / 8 for i in range(n)]


def texts_of(value):
    """input of an embeddings request: a text, texts, tokens or lists of tokens."""
    if isinstance(value, str):
        return [value]
    if value and isinstance(value[0], int):
        return [repr(value)]
    return [v if isinstance(v, str) else repr(v) for v in value]


def arguments_of(tool):
    """What the model "calls" a tool with: a value for each of its parameters."""
    return {name: "wört \"1\"" for name in tool["function"].get("parameters", {}).get("properties", {})}


class OpenAI:
    """The answers to one request."""
    whole_type, stream_type = "application/json", "text/event-stream; charset=utf-8"

    def __init__(self, path, body):
        self.path, self.body, self.model = path, body, body.get("model", "")
        self.legacy = path.endswith("/completions") and not path.endswith("chat/completions")
        self.words, self.pace = words_of(self.model)
        if body.get("max_tokens") is not None:
            self.words = self.words[:body["max_tokens"]]
        self.tools = body.get("tools") if not self.legacy else None
        self.usage = {"prompt_tokens": 7, "completion_tokens": len(self.words), "total_tokens": 7 + len(self.words)}
        self.id = ("cmpl-" if self.legacy else "chatcmpl-") + hashlib.sha256(self.model.encode()).hexdigest()[:12]
        self.finish = "tool_calls" if self.tools else "length" if body.get("max_tokens") is not None else "stop"

    def calls(self):
        return [{"id": f"call_{i}", "type": "function", "function": {"name": t["function"]["name"],
                 "arguments": json.dumps(arguments_of(t))}} for i, t in enumerate(self.tools)]

    def choice(self, i):
        text = "".join(self.words)
        if self.legacy:
            return {"text": text, "index": i, "logprobs": None, "finish_reason": self.finish}
        message = {"role": "assistant", "content": None if self.tools else text, "refusal": None}
        if self.tools:
            message["tool_calls"] = self.calls()
        return {"index": i, "message": message, "logprobs": None, "finish_reason": self.finish}

    def whole(self):
        return compact({"id": self.id, "object": "text_completion" if self.legacy else "chat.completion", "created": CREATED,
                        "model": self.model, "choices": [self.choice(i) for i in range(self.body.get("n", 1))], "usage": self.usage,
                        "system_fingerprint": "fp_test"})

    def deltas(self):
        """(delta, finish_reason) of each frame."""
        if self.legacy:
            yield from ((w, None) for w in self.words)
            yield "", self.finish
            return
        yield {"role": "assistant", "content": None if self.tools else "", "refusal": None}, None
        for i, call in enumerate(self.calls() if self.tools else ()):
            text, third = call["function"]["arguments"], max(1, len(call["function"]["arguments"]) // 3)
            yield {"tool_calls": [{"index": i, **call, "function": {"name": call["function"]["name"], "arguments": ""}}]}, None
            for at in range(0, len(text), third):
                yield {"tool_calls": [{"index": i, "function": {"arguments": text[at:at + third]}}]}, None
        if not self.tools:
            yield from (({"content": w}, None) for w in self.words)
        yield {}, self.finish

    def chunk(self, choices, usage="absent"):
        chunk = {"id": self.id, "object": "text_completion" if self.legacy else "chat.completion.chunk", "created": CREATED,
                 "model": self.model, "system_fingerprint": "fp_test", "choices": choices}
        if usage != "absent":
            chunk["usage"] = usage
        if self.model == "rich":
            chunk.update({"service_tier": "default", "obfuscation": "aZ\"b\\u0041", "x": {"usage": None, "choices": [[], {}]},
                          "big": 2 ** 70})
        return chunk

    def chunks(self, usage=None):
        """JSON of each chunk. usage None: as the request asks."""
        asked = (self.body.get("stream_options") or {}).get("include_usage") if usage is None else usage
        for delta, finish in self.deltas():
            inner = {"text": delta} if self.legacy else {"delta": delta}
            yield compact(self.chunk([{"index": 0, **inner, "logprobs": None, "finish_reason": finish}], None if asked else "absent"))
        if asked:
            yield compact(self.chunk([], self.usage))

    @staticmethod
    def frame(data):
        return b"data: " + data + b"\n\n"

    def frames(self, usage=None):
        return [self.frame(c) for c in self.chunks(usage)]

    end = b"data: [DONE]\n\n"

    @staticmethod
    def error(message, kind="server_error", code=None, param=None):
        return compact({"error": {"message": message, "type": kind, "param": param, "code": code}})

    def embeddings(self):
        data = []
        for i, text in enumerate(texts_of(self.body["input"])):
            v = vector(text, self.body.get("dimensions", DIMENSIONS))
            if self.body.get("encoding_format") == "base64":
                v = base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode()
            data.append({"object": "embedding", "index": i, "embedding": v})
        return compact({"object": "list", "data": data, "model": self.model, "usage": {"prompt_tokens": 5, "total_tokens": 5}})

    @staticmethod
    def models():
        return compact({"object": "list", "data": [{"id": m, "object": "model", "created": CREATED, "owned_by": "tests"} for m in MODELS]})

    def responses(self):
        """OpenAI's newer route: one object, or events with names and no [DONE]."""
        answer = {"id": "resp_1", "object": "response", "created_at": CREATED, "status": "completed", "model": self.model, "output": [
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
                {"type": "output_text", "text": "".join(self.words), "annotations": []}]}], "parallel_tool_calls": True, "tools": []}
        if not self.body.get("stream"):
            return [compact(answer)]
        events = [{"type": "response.created", "sequence_number": 0, "response": {**answer, "status": "in_progress", "output": []}}]
        events += [{"type": "response.output_text.delta", "sequence_number": i + 1, "item_id": "msg_1", "output_index": 0,
                    "content_index": 0, "delta": w} for i, w in enumerate(self.words)]
        events.append({"type": "response.completed", "sequence_number": len(events), "response": answer})
        return [b"event: " + e["type"].encode() + b"\ndata: " + compact(e) + b"\n\n" for e in events]


class Ollama:
    """The same for Ollama's own API. Its streams are lines, and it streams unless told not to."""
    whole_type, stream_type = "application/json; charset=utf-8", "application/x-ndjson"
    end = b""

    def __init__(self, path, body):
        self.path, self.body, self.model = path, body, body.get("model", "")
        self.generate = path.endswith("/generate")
        self.words, self.pace = words_of(self.model)
        limit = (body.get("options") or {}).get("num_predict")
        self.finish = "stop"
        if limit is not None and limit >= 0:
            self.words, self.finish = self.words[:limit], "length"
        self.tools = body.get("tools") if not self.generate else None

    def line(self, text, last, calls=None):
        line = {"model": self.model, "created_at": "2023-11-14T22:13:20.123456789Z"}
        if self.generate:
            line["response"] = text
        else:
            line["message"] = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
        line["done"] = last
        if last:
            line.update({"done_reason": self.finish, "total_duration": 5043500667, "load_duration": 5025959, "prompt_eval_count": 7,
                         "prompt_eval_duration": 325953000, "eval_count": len(self.words), "eval_duration": 4709213000})
        return compact(line)

    def calls(self):
        return [{"function": {"name": t["function"]["name"], "arguments": arguments_of(t)}} for t in self.tools or ()]

    def whole(self):
        return self.line("" if self.tools else "".join(self.words), True, self.calls())

    def chunks(self, usage=None):
        if self.tools:
            yield self.line("", False, self.calls())
        else:
            yield from (self.line(w, False) for w in self.words)
        yield self.line("", True)

    @staticmethod
    def frame(data):
        return data + b"\n"

    def frames(self, usage=None):
        return [self.frame(c) for c in self.chunks()]

    @staticmethod
    def error(message, kind=None, code=None, param=None):
        return compact({"error": message})

    def embeddings(self):
        texts = texts_of(self.body["input"])
        return compact({"model": self.model, "embeddings": [vector(t, self.body.get("dimensions", DIMENSIONS)) for t in texts],
                        "total_duration": 14143917, "load_duration": 1019500, "prompt_eval_count": 5})

    @staticmethod
    def models():
        return compact({"models": [{"name": m, "model": m, "modified_at": "2023-11-14T22:13:20.5-07:00", "size": 3338801804,
                                    "digest": hashlib.sha256(m.encode()).hexdigest(), "details": {"format": "gguf", "family": "test",
                                    "families": None, "parameter_size": "4.3B", "quantization_level": "Q4_K_M"}} for m in MODELS]})
