# SPDX-License-Identifier: Apache-2.0
"""The rest of misbehaviours.py: what only a stream can do wrong, or oddly. A whole answer is a good one then, where nothing else is said."""
import time

from misbehaviours import GOOD, MISBEHAVIOURS, SECRET, bad, begin, end  # noqa: F401: whoever imports us wants all of them
from provider import left


def in_stream(name):
    """A misbehaviour of a stream: what comes after the first frames, which then goes on and ends as it should. A whole answer is good."""
    def keep(function):
        @bad(name)
        def _(conn, req):
            if not req.stream:
                conn.reply(req.answer.whole())
                return True
            begin(conn, req)
            frames = req.answer.frames()[GOOD:]
            again = function(conn, req, frames)
            if again is not None:
                return again
            return end(conn, req, *frames, *([req.answer.end] if req.answer.end else []))
        return function
    return keep


@in_stream("error-mid")
def _(conn, req, frames):
    return end(conn, req, req.answer.frame(req.answer.error(f"the model crashed; key {SECRET}", "server_error", "crashed")))


@in_stream("error-mid-done")
def _(conn, req, frames):
    return end(conn, req, req.answer.frame(req.answer.error("the model crashed", "server_error", "crashed")), req.answer.end)


@in_stream("error-mid-hold")
def _(conn, req, frames):
    """Says error and then nothing, with the connection open."""
    conn.chunk(req.answer.frame(req.answer.error("the model crashed", "server_error", "crashed")))
    return conn.hold()


@in_stream("error-mid-event")
def _(conn, req, frames):
    return end(conn, req, b"event: error\n" + req.answer.frame(req.answer.error("the model crashed", "server_error", "crashed")))


@in_stream("error-mid-text")
def _(conn, req, frames):
    return end(conn, req, req.answer.frame(b'{"error":"out of memory"}'))


@in_stream("invalid-json-mid")
def _(conn, req, frames):
    conn.chunk(req.answer.frame(b'{"id":"x","choices":[{"delta":{"content":"half'))


@in_stream("number-mid")
def _(conn, req, frames):
    conn.chunk(req.answer.frame(b"42"))


@in_stream("invalid-utf8-mid")
def _(conn, req, frames):
    conn.chunk(frames[0].replace(b'"content":"', b'"content":"\xff\xfe'))


@in_stream("nul-mid")
def _(conn, req, frames):
    conn.chunk(frames[0].replace(b'"content":"', b'"content":"a\0b'))


@in_stream("surrogate-mid")
def _(conn, req, frames):
    conn.chunk(frames[0].replace(b'"content":"', b'"content":"\\ud800'))


@in_stream("escaped-nul-mid")
def _(conn, req, frames):
    """Allowed."""
    frames[0] = frames[0].replace(b'"content":"', b'"content":"\\u0000')


@in_stream("deep-mid")
def _(conn, req, frames):
    conn.chunk(req.answer.frame(b'{"choices":' + b"[" * 5000 + b"]" * 5000 + b"}"))


@in_stream("huge-event-mid")
def _(conn, req, frames):
    conn.chunk(frames[0].replace(b'"content":"', b'"content":"' + b"x" * (2 << 20)))


@in_stream("infinite-line-mid")
def _(conn, req, frames):
    while not conn.closed.is_set():
        conn.chunk(b"x" * 65536)
    return False


@in_stream("comments")
def _(conn, req, frames):
    """Nothing but comments, for ever."""
    while not conn.left(0.05):
        conn.chunk(b": still here\n\n")
    return left(conn, req)


@bad("comments-first")
def _(conn, req):
    if not req.stream:
        conn.reply(req.answer.whole())
        return True
    conn.stream_head(req)
    while not conn.left(0.05):
        conn.chunk(b": still here\n\n")
    return left(conn, req)


@bad("blank-lines-first")
def _(conn, req):
    """White space for ever, which is neither an event nor the end of a JSON text."""
    if req.stream:
        conn.stream_head(req)
    else:
        conn.send(conn.head("Content-Type: application/json", "Transfer-Encoding: chunked"))
    while not conn.left(0.05):
        conn.chunk(b"\n")
    return left(conn, req)


@in_stream("no-done")
def _(conn, req, frames):
    """Ends after the finish, without [DONE]."""
    return end(conn, req, *frames)


@in_stream("no-done-fin")
def _(conn, req, frames):
    """The same, and HTTP's end is missing too."""
    for f in frames:
        conn.chunk(f)
    return False


@in_stream("done-without-finish")
def _(conn, req, frames):
    return end(conn, req, req.answer.end)


def reason(frame, text):
    """A frame with that text for a reason; of Ollama's, which has no such member, as it is."""
    return frame.replace(b'"finish_reason":null', b'"finish_reason":' + text)


@in_stream("empty-finish")
def _(conn, req, frames):
    """As LocalAI says that there is no reason yet. Breaks off before there is one."""
    return end(conn, req, reason(frames[0], b'""'))


@in_stream("null-text-finish")
def _(conn, req, frames):
    return end(conn, req, reason(frames[0], b'"null"'), req.answer.end)


@in_stream("end-without-finish")
def _(conn, req, frames):
    return end(conn, req)


@in_stream("two-done")
def _(conn, req, frames):
    return end(conn, req, *frames, req.answer.end, req.answer.end)


@in_stream("frames-after-done")
def _(conn, req, frames):
    return end(conn, req, *frames, req.answer.end, frames[0])


@in_stream("hold-after-done")
def _(conn, req, frames):
    """Says [DONE], and never ends the answer."""
    for f in (*frames, req.answer.end):
        if f:
            conn.chunk(f)
    return conn.hold()


@in_stream("choices-null")
def _(conn, req, frames):
    """Allowed: some servers say usage so."""
    frames.append(req.answer.frame(b'{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":null,'
                                   b'"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}'))


@in_stream("crlf")
def _(conn, req, frames):
    """Allowed: all that the format of server-sent events allows."""
    begins = b"event: message\r\nid: 5\r\nretry: 10\r\n: hi\r\ndata:"
    frames[:] = [f.replace(b"data: ", begins).replace(b"\n\n", b"\r\n\r\n") for f in frames]


@in_stream("cr")
def _(conn, req, frames):
    """Allowed: line ends of CR alone."""
    frames[:] = [f.replace(b"\n\n", b"\r\r") for f in frames]


@in_stream("two-data-lines")
def _(conn, req, frames):
    """Allowed: an event of several lines, which are joined by LF."""
    frames[:] = [f.replace(b',"created"', b',\ndata:  "created"') for f in frames]


@bad("bom")
def _(conn, req):
    """Allowed."""
    if not req.stream:
        conn.reply(req.answer.whole())
        return True
    conn.stream_head(req)
    conn.chunk(b"\xef\xbb\xbf")
    return end(conn, req, *req.answer.frames(), req.answer.end)


@bad("slow-but-good")
def _(conn, req):
    """Allowed: frames within the timeouts."""
    if not req.stream:
        time.sleep(0.1)
        conn.reply(req.answer.whole())
        return True
    conn.stream_head(req)
    for f in req.answer.frames():
        if conn.left(0.1):
            return left(conn, req)
        conn.chunk(f)
    return end(conn, req, *([req.answer.end] if req.answer.end else []))
