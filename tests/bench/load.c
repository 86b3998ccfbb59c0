/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c - load PORT CONNECTIONS SECONDS <request - sends one request at a time on each keep-alive connection to 127.0.0.1, as fast as the
 * answers come, and prints one line of JSON. It does as little as a client can (a recv and a send a request, no epoll_ctl), so that one
 * core of it keeps one core of a fast server busy: a server that waits for its client pays for sleeping and waking, and wrk, with four
 * system calls a request, lets it wait. A run of ten '@' or more in the request is a number that is another one in each request.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 65536
#define ANSWER_MAX 65536
#define SLOTS 2000000 /* of one microsecond; what takes longer counts as the last */
#define BATCH 64

struct conn {
	int fd;
	size_t have;       /* bytes of an answer that is not whole yet */
	int64_t sent_at;
	char buf[ANSWER_MAX + 1];
};

static char request[REQUEST_MAX];
static size_t request_len, digits;
static char *number;               /* in the request, so many digits; NULL: there is none */
static uint32_t latency[SLOTS];
static uint64_t requests, bytes, bad;

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* The next number is written where the '@' were; it begins with this process's id, so that no two runs say the same. */
static void find_number(void)
{
	number = memmem(request, request_len, "@@@@@@@@@@", 10);
	while (number && number + digits < request + request_len && number[digits] == '@')
		digits++;
	for (size_t i = 0, id = (size_t)getpid(); i < digits; i++, id /= 10)
		number[i] = (char)('0' + id % 10);
}

static void next_number(void)
{
	char *p = number + digits;

	while (p > number && ++*--p > '9')
		*p = '0';
}

static void ask(struct conn *c, int64_t now)
{
	if (number)
		next_number();
	c->have = 0;
	c->sent_at = now;
	if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
		die("send");
}

/* Length of the answer that begins the buffer, or 0 if its head is not whole. */
static size_t answer_len(const struct conn *c)
{
	static const char field[] = "ontent-Length: ";
	const char *end = memmem(c->buf, c->have, "\r\n\r\n", 4);
	const char *length = end ? memmem(c->buf, (size_t)(end - c->buf), field, sizeof(field) - 1) : NULL;

	if (end && !length) {
		fprintf(stderr, "load: an answer without Content-Length: %.100s\n", c->buf);
		exit(1);
	}
	return end ? (size_t)(end + 4 - c->buf) + strtoul(length + sizeof(field) - 1, NULL, 10) : 0;
}

static void on_readable(struct conn *c)
{
	ssize_t n = recv(c->fd, c->buf + c->have, ANSWER_MAX - c->have, 0);
	size_t want;
	int64_t now, took;

	if (n <= 0)
		die(n ? "recv" : "the server closed a connection");
	c->have += (size_t)n;
	c->buf[c->have] = 0;
	want = answer_len(c);
	if (want > ANSWER_MAX)
		die("an answer is too long");
	if (!want || c->have < want)
		return;
	now = now_us();
	took = now - c->sent_at;
	latency[took < SLOTS ? took : SLOTS - 1]++;
	bad += c->have != want || memcmp(c->buf, "HTTP/1.1 200 ", 13) != 0;
	requests++;
	bytes += c->have;
	ask(c, now);
}

static void open_conn(struct conn *c, int epoll, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.ptr = c };

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e))
		die("epoll_ctl");
}

static unsigned percentile(double share)
{
	uint64_t left = (uint64_t)((double)requests * share);
	unsigned i = 0;

	while (i < SLOTS - 1 && left > latency[i])
		left -= latency[i++];
	return i;
}

int main(int argc, char **argv)
{
	int port = argc == 4 ? atoi(argv[1]) : 0, n = argc == 4 ? atoi(argv[2]) : 0, epoll = epoll_create1(EPOLL_CLOEXEC);
	double seconds = argc == 4 ? atof(argv[3]) : 0;
	struct conn *conns = calloc(n > 0 ? (size_t)n : 1, sizeof(*conns));
	struct epoll_event ready[BATCH];
	int64_t began, end, now;

	if (port <= 0 || n <= 0 || seconds <= 0 || epoll < 0 || !conns) {
		fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS <request\n");
		return 2;
	}
	request_len = fread(request, 1, sizeof(request), stdin);
	find_number();
	for (int i = 0; i < n; i++)
		open_conn(&conns[i], epoll, port);
	began = now = now_us();
	end = began + (int64_t)(seconds * 1e6);
	for (int i = 0; i < n; i++)
		ask(&conns[i], began);
	while (now < end) {
		int k = epoll_wait(epoll, ready, BATCH, 1000);

		for (int i = 0; i < k; i++)
			on_readable(ready[i].data.ptr);
		now = now_us();
	}
	printf("BENCH {\"requests\":%llu,\"bytes\":%llu,\"duration_us\":%lld,\"bad\":%llu,\"p50_us\":%u,\"p99_us\":%u}\n",
	       (unsigned long long)requests, (unsigned long long)bytes, (long long)(now - began), (unsigned long long)bad, percentile(0.5),
	       percentile(0.99));
	return 0;
}
