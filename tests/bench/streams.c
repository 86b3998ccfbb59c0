/* SPDX-License-Identifier: Apache-2.0 */
/*
 * streams.c - streams PORT STREAMS FRAMES RAMP_MS <request - asks for that many streams at once, each on a connection of its own, begun evenly
 * over RAMP_MS, and reads them to their ends. The upstream is frames.c: each event says its number and when it was sent. Prints one line of
 * JSON: how many streams were whole (every number in order, then [DONE]), and the delays of the events from the upstream's send to our recv, in
 * microseconds. What our own process adds is in them too: subtract what a run without a server in between prints.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 65536
#define KEEP 63          /* bytes of the last read that may hold the beginning of a mark */
#define READ 16384
#define SLOTS 5000000    /* of one microsecond; what takes longer counts as the last */

struct stream {
	int fd;
	int seen;        /* events */
	size_t kept;
	bool begun, done, failed;
	char buf[KEEP + READ + 1];
};

static char request[REQUEST_MAX];
static size_t request_len;
static uint32_t *delays;
static uint64_t events, ended;
static int frames, whole, failed;

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "streams: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void end(struct stream *s)
{
	bool ok = s->done && !s->failed && s->seen == frames;

	if (!ok && !failed++)
		fprintf(stderr, "streams: broken after %d events: %.300s\n", s->seen, s->buf);
	whole += ok;
	ended++;
	close(s->fd);
	s->fd = -1;
}

/* Every whole mark "@NUMBER@TIME@" in the buffer; what is behind the last one is kept for the next read. */
static void look(struct stream *s, size_t n, int64_t now)
{
	char *p = s->buf, *stop = s->buf + n, *at;

	*stop = 0;
	if (!s->begun && n >= 13) {
		s->begun = true;
		s->failed = memcmp(s->buf, "HTTP/1.1 200 ", 13) != 0;
	}
	while ((at = memchr(p, '@', (size_t)(stop - p))) && at + 23 <= stop) {
		int64_t delay = now - atoll(at + 7);

		s->failed = s->failed || at[6] != '@' || at[22] != '@' || atoi(at + 1) != s->seen;
		s->seen++;
		events++;
		delays[delay < 0 ? 0 : delay < SLOTS ? delay : SLOTS - 1]++;
		p = at + 23;
	}
	if (memmem(p, (size_t)(stop - p), "[DONE]", 6))
		s->done = true;
	if (stop - p > KEEP)
		p = stop - KEEP;
	s->kept = (size_t)(stop - p);
	memmove(s->buf, p, s->kept);
}

static void on_readable(struct stream *s)
{
	ssize_t n = recv(s->fd, s->buf + s->kept, READ, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0)
		look(s, s->kept + (size_t)n, now_us());
	if (n <= 0 || s->done || s->failed)
		end(s);
}

static void open_stream(struct stream *s, int epoll, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = s };

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	/* Closing by RST leaves no TIME_WAIT, which would take the ports of the next round. */
	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
	if (send(s->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len || epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &e))
		die("send");
}

static unsigned percentile(double share)
{
	uint64_t left = (uint64_t)((double)events * share);
	unsigned i = 0;

	while (i < SLOTS - 1 && left > delays[i])
		left -= delays[i++];
	return i;
}

int main(int argc, char **argv)
{
	int port = argc == 5 ? atoi(argv[1]) : 0, n = argc == 5 ? atoi(argv[2]) : 0, epoll = epoll_create1(EPOLL_CLOEXEC), begun = 0;
	int64_t ramp = argc == 5 ? atoll(argv[4]) * 1000 : -1, start, limit;
	struct stream *all = calloc(n > 0 ? (size_t)n : 1, sizeof(*all));
	struct epoll_event ready[256];
	struct rusage used;

	frames = argc == 5 ? atoi(argv[3]) : 0;
	delays = calloc(SLOTS, sizeof(*delays));
	if (port <= 0 || n <= 0 || frames <= 0 || ramp < 0 || epoll < 0 || !all || !delays) {
		fprintf(stderr, "usage: streams PORT STREAMS FRAMES RAMP_MS <request\n");
		return 2;
	}
	request_len = fread(request, 1, sizeof(request), stdin);
	start = now_us();
	limit = start + ramp + 300 * (int64_t)1000000;
	while (ended < (uint64_t)n && now_us() < limit) {
		int due = ramp ? (int)((now_us() - start) * n / ramp) : n, k;

		for (; begun < n && begun < due; begun++)
			open_stream(&all[begun], epoll, port);
		k = epoll_wait(epoll, ready, 256, begun < n ? 1 : 1000);
		for (int i = 0; i < k; i++)
			on_readable(ready[i].data.ptr);
	}
	getrusage(RUSAGE_SELF, &used);
	printf("BENCH {\"streams\":%d,\"whole\":%d,\"events\":%llu,\"duration_us\":%lld,\"cpu_us\":%lld,\"p50_us\":%u,\"p99_us\":%u,\"p999_us\":%u}\n", n,
	       whole, (unsigned long long)events, (long long)(now_us() - start),
	       (long long)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec + used.ru_stime.tv_usec,
	       percentile(0.5), percentile(0.99), percentile(0.999));
	return 0;
}
