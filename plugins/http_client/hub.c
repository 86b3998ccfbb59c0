/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub.c - libcurl's multi handle on a loop: its sockets are watches, its time-outs one timer.
 *
 * libcurl calls nothing of ours but what it calls from curl_multi_socket_action and curl_easy_pause, and from there nobody else is called:
 * a job that has something to tell is noted (hc_hub_moved) and told when libcurl has returned.
 *
 * libcurl 7.88 goes on to a host's next address by closing the socket of the one before, and then forgets to open the next one until
 * something else wakes it. So after it gave a socket up it is made to look at all of its handles.
 */
#include <stdlib.h>

#define CURL_DISABLE_DEPRECATION /* curl_multi_socket_all */
#include "http_client.h"

struct socket {
	struct hc_hub *hub;
	struct ch_watch *watch;
	curl_socket_t fd;
};

void hc_hub_moved(struct hc_job *job)
{
	if (!hc_linked(&job->moved_link))
		hc_link_last(&job->hub->moved, &job->moved_link);
}

void hc_hub_settle(struct hc_hub *hub)
{
	struct hc_host *h = hub->host;
	CURLMsg *m;
	int left;

	hc_clock(hub->pool);
	if (h)
		h->refs++; /* the hub goes with it, but not under us */
	while (hc_linked(&hub->moved)) {
		struct hc_job *job = HC_OF(hub->moved.next, struct hc_job, moved_link);

		hc_unlink(&job->moved_link);
		job->moved(job);
	}
	while ((m = curl_multi_info_read(hub->multi, &left))) {
		struct hc_job *job = NULL;

		if (m->msg == CURLMSG_DONE && curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&job) == CURLE_OK && job)
			job->done(job, m->data.result);
	}
	if (h)
		hc_host_put(h);
}

static void look_again(struct hc_hub *hub)
{
	int running;

	for (int i = 0; hub->closed && i < 16; i++) { /* as many addresses as a host has for us */
		hub->closed = false;
		curl_multi_socket_all(hub->multi, &running);
	}
}

static void on_socket(void *data, int events)
{
	struct socket *s = data;
	struct hc_hub *hub = s->hub;
	int running, mask = (events & CH_READ ? CURL_CSELECT_IN : 0) | (events & CH_WRITE ? CURL_CSELECT_OUT : 0);

	curl_multi_socket_action(hub->multi, s->fd, mask, &running); /* may free s */
	look_again(hub);
	hc_hub_settle(hub);
}

static void on_time(void *data)
{
	struct hc_hub *hub = data;
	int running;

	curl_multi_socket_action(hub->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	look_again(hub);
	hc_hub_settle(hub);
}

/* Never fails: libcurl would give the whole multi handle up. A socket without a watch hangs until its call's time is over. */
static int want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct hc_hub *hub = arg;
	struct socket *s = known;
	int events = (what & CURL_POLL_IN ? CH_READ : 0) | (what & CURL_POLL_OUT ? CH_WRITE : 0);

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		hub->closed = true;
		if (s)
			ch_watch_free(s->watch);
		free(s);
		curl_multi_assign(hub->multi, fd, NULL);
		return 0;
	}
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return 0;
		s->hub = hub;
		s->fd = fd;
		curl_multi_assign(hub->multi, fd, s);
	}
	if (s->watch)
		ch_watch_set(s->watch, events);
	else
		s->watch = ch_watch(hub->pool->loop, fd, events, on_socket, s);
	return 0;
}

static int want_timer(CURLM *multi, long ms, void *arg)
{
	struct hc_hub *hub = arg;

	(void)multi;
	ch_timer_set(hub->timer, ms);
	return 0;
}

struct hc_hub *hc_hub_new(struct hc_pool *p, struct hc_host *h)
{
	struct hc_hub *hub = calloc(1, sizeof(*hub));

	if (!hub)
		return NULL;
	hub->pool = p;
	hub->host = h;
	hc_link_init(&hub->link);
	hc_link_init(&hub->all);
	hc_link_init(&hub->moved);
	hub->timer = ch_timer(p->loop, on_time, hub);
	hub->multi = hub->timer ? curl_multi_init() : NULL;
	if (!hub->multi) {
		ch_timer_free(hub->timer);
		free(hub);
		return NULL;
	}
	curl_multi_setopt(hub->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(hub->multi, CURLMOPT_SOCKETDATA, hub);
	curl_multi_setopt(hub->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(hub->multi, CURLMOPT_TIMERDATA, hub);
	hc_link_after(&p->hubs, &hub->link);
	return hub;
}

void hc_hub_free(struct hc_hub *hub)
{
	if (!hub)
		return;
	hc_unlink(&hub->link);
	if (hub->host)
		hub->host->h2 = NULL;
	curl_multi_cleanup(hub->multi); /* closes what it kept, and says so to want_socket */
	ch_timer_free(hub->timer);
	free(hub);
}

bool hc_hub_add(struct hc_hub *hub, struct hc_job *job)
{
	curl_easy_setopt(job->easy, CURLOPT_PRIVATE, job);
	if (curl_multi_add_handle(hub->multi, job->easy) != CURLM_OK)
		return false;
	job->hub = hub;
	hc_link_init(&job->moved_link);
	hc_link_last(&hub->all, &job->link);
	hub->jobs++;
	return true;
}

void hc_hub_remove(struct hc_job *job)
{
	struct hc_hub *hub = job->hub;

	if (!hub)
		return;
	hc_unlink(&job->link);
	hc_unlink(&job->moved_link);
	curl_multi_remove_handle(hub->multi, job->easy);
	job->hub = NULL;
	if (--hub->jobs)
		return;
	hub->until = hub->reset ? 0 : hub->pool->now + hc_set(hub->pool, HC_KEEPALIVE_TIMEOUT) * 1000;
	hc_pool_due(hub->pool, hub->until);
}
