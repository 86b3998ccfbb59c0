/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames.c - frames PORT FRAMES INTERVAL_MS - a model server that streams: it answers each request on 127.0.0.1:PORT with FRAMES events of
 * OpenAI's chat stream, INTERVAL_MS apart, and `data: [DONE]`. Each event's text is "@NUMBER@TIME@": which event it is, and when (microseconds of
 * the monotonic clock, which all processes of a machine share) it was handed to the kernel; streams.c tells delays from that. All streams
 * that are due in the same millisecond are served in one go. It keeps connections open, and ends with its standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS 20000
#define REQUEST_MAX 65536

static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char last[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

struct conn {
	int fd;
	bool streams;
	int sent;             /* events so far */
	size_t have;          /* bytes of a request that is not whole yet */
	int next;             /* of the same bucket; -1: none */
	char buf[REQUEST_MAX];
};

static struct conn *conns[CONNS]; /* by descriptor */
static int *buckets;              /* streams by the millisecond, modulo the interval, that they are served in: the first one's descriptor */
static int frames, interval;

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void close_conn(struct conn *c)
{
	close(c->fd);
	conns[c->fd] = NULL;
	free(c);
}

/* False: the reader is gone, or so slow that its socket is full: either way the stream is broken. */
static bool put(const struct conn *c, const char *p, size_t n)
{
	return send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
}

static bool send_event(struct conn *c)
{
	char event[512], chunk[640];
	int n = snprintf(event, sizeof(event),
		"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench-small\","
		"\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@%05d@%015lld@\"},\"finish_reason\":%s}]}\n\n",
		c->sent, (long long)now_us(), c->sent == frames - 1 ? "\"stop\"" : "null");
	int m = snprintf(chunk, sizeof(chunk), "%x\r\n%s\r\n", (unsigned)n, event);

	c->sent++;
	return put(c, chunk, (size_t)m);
}

/* One event of every stream of this millisecond. */
static void serve(int bucket)
{
	int *at = &buckets[bucket];

	while (*at >= 0) {
		struct conn *c = conns[*at];
		bool ok = send_event(c), ended = ok && c->sent == frames;

		if (ended)
			ok = put(c, last, sizeof(last) - 1);
		if (ok && !ended) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		if (!ok)
			close_conn(c);
		else
			c->streams = false;
	}
}

static void begin(struct conn *c, int64_t now)
{
	int bucket = (int)(now / 1000 % interval);

	c->have = 0;
	c->sent = 0;
	c->streams = true;
	c->next = buckets[bucket];
	buckets[bucket] = c->fd;
	put(c, head, sizeof(head) - 1);
}

/* Bytes of the request that begins the buffer, or 0. */
static size_t request_len(const struct conn *c)
{
	const char *end = memmem(c->buf, c->have, "\r\n\r\n", 4), *at = c->buf;
	size_t body = 0;

	for (; end && at < end; at = memchr(at, '\n', (size_t)(end + 2 - at)) + 1)
		if (!strncasecmp(at, "Content-Length:", 15))
			body = strtoul(at + 15, NULL, 10);
	return end && c->have >= (size_t)(end + 4 - c->buf) + body ? (size_t)(end + 4 - c->buf) + body : 0;
}

static void on_readable(struct conn *c)
{
	ssize_t n = recv(c->fd, c->buf + c->have, REQUEST_MAX - c->have, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 && c->streams) {
		shutdown(c->fd, SHUT_RDWR); /* its bucket still names it: the next send fails and closes it */
		return;
	}
	if (n <= 0) {
		close_conn(c);
		return;
	}
	c->have += (size_t)n;
	if (!c->streams && request_len(c))
		begin(c, now_us());
}

static void on_new(int listener, int epoll)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.fd = fd };

		if (fd >= CONNS || !(conns[fd] = calloc(1, sizeof(struct conn))) || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e))
			die("a connection");
		conns[fd]->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	}
}

static int listen_on(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
		listen(fd, 4096))
		die("listen");
	return fd;
}

int main(int argc, char **argv)
{
	int port = argc == 4 ? atoi(argv[1]) : 0, epoll = epoll_create1(EPOLL_CLOEXEC), listener;
	struct epoll_event ready[256];
	int64_t tick;

	frames = argc == 4 ? atoi(argv[2]) : 0;
	interval = argc == 4 ? atoi(argv[3]) : 0;
	if (port <= 0 || frames <= 0 || interval <= 0 || epoll < 0 || !(buckets = malloc((size_t)interval * sizeof(int)))) {
		fprintf(stderr, "usage: frames PORT FRAMES INTERVAL_MS\n");
		return 2;
	}
	for (int i = 0; i < interval; i++)
		buckets[i] = -1;
	listener = listen_on(port);
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){ .events = EPOLLIN, .data.fd = listener });
	epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &(struct epoll_event){ .events = EPOLLIN, .data.fd = 0 });
	for (tick = now_us() / 1000;;) {
		int n = epoll_wait(epoll, ready, 256, 1);

		for (int i = 0; i < n; i++) {
			int fd = ready[i].data.fd;

			if (fd == listener)
				on_new(listener, epoll);
			else if (fd == 0)
				return 0;
			else if (conns[fd])
				on_readable(conns[fd]);
		}
		for (int64_t now = now_us() / 1000; tick < now; tick++)
			serve((int)(tick % interval));
	}
}
