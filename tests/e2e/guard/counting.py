# SPDX-License-Identifier: Apache-2.0
"""A server of models that counts its calls, in a process of its own, for thousands at once.

A call is known by the content of its last message; each answer is another one (its id, its text and its length are random), so that equal
bytes at two clients are one call's. A gate holds all answers until it is opened: whole ones before their head, streams behind their
first frame.

  with Counting(seed) as up:      up.port; up.calls() -> {content: calls}; up.held() -> calls that wait; up.open(), up.shut()
"""
import asyncio
import json
import os
import random
import subprocess
import sys
import urllib.request


class Models:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.calls, self.held = {}, 0
        self.gate = asyncio.Event()
        self.gate.set()

    def answer(self):
        """(id, words) of a new answer."""
        words = ["".join(self.random.choice("abcdefgh éß漢\"\\") for _ in range(self.random.randint(1, 40))) for _ in range(5)]
        return f"chatcmpl-{self.random.getrandbits(96):024x}", words

    def whole(self):
        name, words = self.answer()
        return json.dumps({"id": name, "object": "chat.completion", "created": 1700000000, "model": "count", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}}).encode()

    def frames(self):
        name, words = self.answer()
        deltas = [{"role": "assistant", "content": ""}, *({"content": w} for w in words), {}]
        for i, delta in enumerate(deltas):
            value = {"id": name, "object": "chat.completion.chunk", "created": 1700000000, "model": "count",
                     "choices": [{"index": 0, "delta": delta, "finish_reason": "stop" if i == len(deltas) - 1 else None}]}
            yield b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    async def wait(self, reader):
        """Until the gate is open; a ConnectionError if the client leaves before. Nobody sends more before its answer."""
        self.held += 1
        gate, more = asyncio.ensure_future(self.gate.wait()), asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({gate, more}, return_when=asyncio.FIRST_COMPLETED)
            if not gate.done():
                raise ConnectionError("the client left")
        finally:
            gate.cancel()
            more.cancel()
            await asyncio.gather(gate, more, return_exceptions=True)
            self.held -= 1

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, *fields = head.decode("latin-1").split("\r\n")
                length = next((int(f.split(":")[1]) for f in fields if f.lower().startswith("content-length:")), 0)
                body = await reader.readexactly(length)
                await self.request(line.split(" ")[1], body, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def request(self, path, body, reader, writer):
        if path == "/v1/chat/completions":
            question = json.loads(body)
            name = question["messages"][-1]["content"]
            self.calls[name] = self.calls.get(name, 0) + 1
            if question.get("stream"):
                return await self.stream(reader, writer)
            await self.wait(reader)
            answer = self.whole()
        elif path == "/v1/models":
            answer = b'{"object":"list","data":[{"id":"count","object":"model","created":1700000000,"owned_by":"tests"}]}'
        else:
            if path in ("/open", "/shut"):
                (self.gate.set if path == "/open" else self.gate.clear)()
            answer = json.dumps({"calls": self.calls, "held": self.held}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
        return await writer.drain()

    async def stream(self, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i, frame in enumerate(self.frames()):
            writer.write(b"%x\r\n%b\r\n" % (len(frame), frame))
            await writer.drain()
            if i == 0:
                await self.wait(reader)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def run(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=4096)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it ends


class Counting:
    def __init__(self, seed=0):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), str(seed)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def ask(self, path="/"):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=60) as r:
            return json.load(r)

    def calls(self):
        return self.ask()["calls"]

    def held(self):
        return self.ask()["held"]

    def open(self):
        self.ask("/open")

    def shut(self):
        self.ask("/shut")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


if __name__ == "__main__":
    asyncio.run(Models(int(sys.argv[1])).run())
    os._exit(0)
