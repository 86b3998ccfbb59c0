# SPDX-License-Identifier: Apache-2.0
"""Clients that ask all the time and count what went wrong, and a plugin whose answers end when a test says so."""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "config"))

import tiny  # noqa: E402
import chimera as kit  # noqa: E402

# GET /hello answers at once. GET /gate sends its head and "first ", waits for the file that the config names, then sends "last". GET /late
# waits the same way before it sends anything.
GATE = tiny.source("t_gate", r'''
struct conf { const char *open; };
struct wait { struct ch_ctx *c; struct ch_self *self; struct ch_timer *timer; ch_ticket ticket; bool begun; };
static const struct ch_option opts[] = { CH_OPT(struct conf, open, PATH, .help = "The file waited for") };
static int hello(struct ch_self *s, struct ch_ctx *c) { (void)s; return ch_respond(c, 200, "text/plain", "hello", 5); }
static void drop(void *r) { (void)r; }
static void look(void *data)
{
	struct wait *w = data;
	if (access(((const struct conf *)w->self->conf)->open, F_OK)) {
		ch_timer_set(w->timer, 5);
		return;
	}
	ch_timer_free(w->timer);
	ch_resume(w->ticket, w, drop);
}
static int opened(struct ch_ctx *c, void *data, int why, void *result)
{
	struct wait *w = data;
	(void)result;
	if (why != CH_READY) {
		ch_timer_free(w->timer);
		ch_unsuspend(w->ticket);
		return CH_DONE;
	}
	if (!w->begun)
		return ch_respond(c, 200, "text/plain", "late", 4);
	ch_write(c, "last", 4, 0, 0);
	ch_end(c);
	return CH_DONE;
}
static int hold(struct ch_self *s, struct ch_ctx *c, bool begin)
{
	struct wait *w = ch_alloc(c, sizeof *w);
	*w = (struct wait){ .c = c, .self = s, .begun = begin };
	if (begin) {
		ch_header_set(c, "Content-Type", "text/plain");
		ch_begin(c, 200);
		ch_write(c, "first ", 6, 0, 0);
	}
	w->ticket = ch_suspend(c, 0, opened, w);
	w->timer = ch_timer(ch_loop(c), look, w);
	ch_timer_set(w->timer, 0);
	return CH_AGAIN;
}
static int gate(struct ch_self *s, struct ch_ctx *c) { return hold(s, c, true); }
static int late(struct ch_self *s, struct ch_ctx *c) { return hold(s, c, false); }
static const struct ch_route routes[] = {
	{ .method = "GET", .pattern = "/hello", .fn = hello }, { .method = "GET", .pattern = "/gate", .fn = gate },
	{ .method = "GET", .pattern = "/late", .fn = late },
};
''', ".conf_size = sizeof(struct conf), .options = CH_TABLE(opts), .routes = CH_TABLE(routes), ")


# A drain closes a connection on which nothing was asked for so long (CHI_IDLE_GRACE_US).
GRACE = 0.1


class Load:
    """Threads that ask GET /hello: `keeping` on connections that they keep, `fresh` on a new one each time. They end at the first refusal,
    or with stop().

    good: answers. failed: what went wrong with requests on connections that the server had taken. refused: connections that could not
    be made. unserved: new connections that were reset without a byte: the kernel had made them, and the server closed its listener before
    it saw them. late: those on which this machine let the client be silent for longer than GRACE, so that the server might close them.
    """

    def __init__(self, address, keeping=2, fresh=1):
        self.address, self.good, self.failed, self.refused, self.unserved, self.late = address, 0, [], 0, 0, 0
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i < keeping,), daemon=True) for i in range(keeping + fresh)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        kit.wait_for(lambda: self.good >= 10 or self.failed, "the first answers")
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.ending.set()
        self.wait()

    def wait(self):
        """For all threads to end, by a refusal or by stop()."""
        for t in self.threads:
            t.join(kit.DEADLINE)
            assert not t.is_alive(), "a client waits for an answer that does not come"

    def count(self, name, what=1):
        with self.lock:
            setattr(self, name, getattr(self, name) + what)

    def one(self, connection, served, since):
        """since: when it was asked for the last time, or made. True: the connection may be used again."""
        sent = None
        try:
            connection.send(kit.request_bytes("GET", "/hello"))
            sent = time.monotonic()
            r = connection.response()
        except kit.Closed as e:
            if not connection.buffer and sent - since > GRACE:
                self.count("late")
            elif served or connection.buffer:
                self.count("failed", [f"request {served + 1} of a connection: {e}"])
            else:
                self.count("unserved")
            return False
        except (AssertionError, OSError) as e:
            self.count("failed", [repr(e)])
            return False
        if r.status != 200 or r.body != b"hello":
            self.count("failed", [repr(r)])
        self.count("good")
        return r.keeps

    def run(self, keep):
        while not self.ending.is_set():
            since = time.monotonic()
            try:
                connection = kit.Connection(self.address)
            except (ConnectionRefusedError, FileNotFoundError):
                self.count("refused")
                return
            except ConnectionResetError:  # the same as below, but seen already by connect()
                self.count("unserved")
                continue
            except OSError as e:
                self.count("failed", [repr(e)])
                return
            with connection:
                served, asked = 0, time.monotonic()
                while self.one(connection, served, since) and keep and not self.ending.is_set():
                    served, since, asked = served + 1, asked, time.monotonic()
