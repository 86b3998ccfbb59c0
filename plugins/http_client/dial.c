/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dial.c - connections made by libcurl (CURLOPT_CONNECT_ONLY): addresses tried in turn, the proxy's tunnel, TLS and its checks.
 *
 * A plain connection is then taken from libcurl: its easy handle goes, and close_socket keeps the descriptor open. With TLS the easy
 * handle stays in its hub as long as the connection lives, because removing it closes the socket, and curl_easy_send and _recv look the
 * connection up among all of the hub's: hence few to a hub. Each socket that libcurl opens goes through open_socket, which no address that
 * is blocked passes.
 */
#include <stdlib.h>
#include <unistd.h>

#include "address.h"
#include "http_client.h"
#include "tls.h"

#define HUB_JOBS 32 /* TLS connections to a hub */

/* ---- sockets ---- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct hc_conn *conn = arg;

	(void)purpose;
	if (!hc_conf(conn->pool)->allow_link_local && hc_link_local(&a->addr)) {
		conn->blocked = true;
		return CURL_SOCKET_BAD;
	}
	return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static int close_socket(void *arg, curl_socket_t fd)
{
	struct hc_conn *conn = arg;

	return fd == conn->fd && !conn->tls ? 0 /* it is ours now */ : close(fd);
}

/* ---- options ---- */

static size_t swallow(char *p, size_t size, size_t n, void *arg)
{
	(void)p;
	(void)arg;
	return size * n;
}

static bool tls_options(CURL *easy, const struct hc_conf *conf)
{
	static const long least[] = { CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_TLSv1_3 };
	bool ok = curl_easy_setopt(easy, CURLOPT_SSLVERSION, least[conf->tls_min]) == CURLE_OK;

	if (*conf->ca_file)
		ok = ok && curl_easy_setopt(easy, CURLOPT_CAINFO, conf->ca_file) == CURLE_OK;
	/* A folder of certificates is read again for each connection: 18 ms with Debian's. A bundle is read once for a hub. */
	if (*conf->ca_file || curl_version_info(CURLVERSION_NOW)->cainfo)
		ok = ok && curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
	if (*conf->client_cert_file)
		ok = ok && curl_easy_setopt(easy, CURLOPT_SSLCERT, conf->client_cert_file) == CURLE_OK;
	if (*conf->client_key_file)
		ok = ok && curl_easy_setopt(easy, CURLOPT_SSLKEY, conf->client_key_file) == CURLE_OK;
	return ok;
}

bool hc_dial_options(CURL *easy, struct hc_host *h, struct curl_slist **resolve, char *errors, int64_t connect_ms)
{
	const struct hc_conf *conf = hc_conf(h->pool);
	bool ok;

	ok = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	     curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	     curl_easy_setopt(easy, CURLOPT_PROXY, hc_state(h->pool)->proxy_url) == CURLE_OK && /* "": the environment has no say */
	     curl_easy_setopt(easy, CURLOPT_NOPROXY, "") == CURLE_OK &&
	     curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L) == CURLE_OK &&
	     curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK &&
	     curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow) == CURLE_OK &&
	     curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
	     curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms) == CURLE_OK && /* by this it shares time among addresses */
	     curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, errors) == CURLE_OK && tls_options(easy, conf);
	if (h->tls)
		ok = ok && curl_easy_setopt(easy, CURLOPT_SHARE, h->pool->share) == CURLE_OK;
	if (ok && h->resolve) {
		*resolve = curl_slist_append(NULL, h->resolve);
		ok = *resolve && curl_easy_setopt(easy, CURLOPT_RESOLVE, *resolve) == CURLE_OK;
	}
	return ok;
}

/* ---- failures ---- */

void hc_dial_count(struct hc_call *call, int how)
{
	struct hc_series *m = hc_m(call->pool);

	ch_add(m->dials[how], 1);
	if (how == HC_DIALED_OK)
		ch_observe(m->connect_seconds, (double)(call->pool->now - call->dialed) / 1e6);
	call->dialed = 0;
}

void hc_dial_no_address(struct hc_call *call, int error, const char *why)
{
	const struct hc_url *proxy = &hc_state(call->pool)->proxy;

	hc_dial_count(call, error == CH_HTTP_RESOLVE ? HC_DIALED_RESOLVE : HC_DIALED_GIVEN_UP);
	hc_call_fail(call, error, "The address of %s cannot be found: %s.", proxy->host_n ? proxy->host : call->host->name, why);
}

static bool is_tls(CURLcode code)
{
	switch (code) {
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CRL_BADFILE:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_SHUTDOWN_FAILED:
	case CURLE_USE_SSL_FAILED:
		return true;
	default:
		return false;
	}
}

void hc_dial_failed(struct hc_call *call, CURL *easy, CURLcode code, const char *errors, bool blocked)
{
	const struct hc_url *proxy = &hc_state(call->pool)->proxy;
	const char *name = call->host->name, *text = errors && *errors ? errors : curl_easy_strerror(code);
	long os = 0;

	curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os);
	hc_lookup_forget(call->host);
	if (blocked && code == CURLE_COULDNT_CONNECT) {
		hc_dial_count(call, HC_DIALED_BLOCKED);
		hc_call_fail(call, CH_HTTP_BLOCKED, HC_BLOCKED, name);
	} else if (is_tls(code)) {
		hc_dial_count(call, HC_DIALED_TLS);
		hc_call_fail(call, CH_HTTP_TLS,
			"TLS with %s failed: %s; if its certificate is of an authority of your own, name that in ca_file.", name, text);
	} else if (code == CURLE_OPERATION_TIMEDOUT) {
		hc_call_timeout(call); /* libcurl has looked at the clock a moment before us */
	} else if (code == CURLE_OUT_OF_MEMORY) {
		hc_dial_count(call, HC_DIALED_GIVEN_UP);
		hc_call_no_memory(call);
	} else {
		hc_dial_count(call, HC_DIALED_CONNECT);
		hc_call_fail(call, CH_HTTP_CONNECT, "%s cannot be connected to%s: %s.", name, proxy->host_n ? " through the proxy" : "",
			os && code == CURLE_COULDNT_CONNECT ? strerror((int)os) : text);
	}
}

/* ---- one dial ---- */

/*
 * With TLS: only once it was read from libcurl counts a connection as used, leaves it alone when it cleans up, and tells of its TLS. False:
 * the server has spoken, or left.
 */
static bool claim(struct hc_conn *conn)
{
	size_t n = 0;

	return !conn->tls || curl_easy_recv(conn->job.easy, conn->pool->scratch, 1, &n) == CURLE_AGAIN;
}

/* From libcurl's hands into ours. */
static bool take_over(struct hc_conn *conn)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	curl_easy_getinfo(conn->job.easy, CURLINFO_ACTIVESOCKET, &fd);
	if (fd == CURL_SOCKET_BAD)
		return false;
	conn->fd = fd;
	if (!conn->tls) {
		hc_hub_remove(&conn->job);
		curl_easy_cleanup(conn->job.easy);
		conn->job.easy = NULL;
	}
	curl_slist_free_all(conn->resolve);
	conn->resolve = NULL;
	return hc_conn_watch(conn);
}

/* Then it is not for us: libcurl alone speaks that, over connections of its own. */
static bool found_h2(struct hc_conn *conn)
{
	struct hc_host *h = conn->host;

	h->probe = NULL;
	hc_h2_learn(h, hc_tls_speaks_h2(conn->job.easy));
	hc_host_serve(h);
	return h->speaks_h2;
}

static void dialed(struct hc_job *job, CURLcode code)
{
	struct hc_conn *conn = HC_OF(job, struct hc_conn, job);
	struct hc_call *call = conn->call;
	bool quiet;

	if (code != CURLE_OK) {
		hc_dial_failed(call, job->easy, code, conn->errors, conn->blocked);
		return;
	}
	quiet = claim(conn);
	if (conn->probe && found_h2(conn)) {
		hc_dial_count(call, HC_DIALED_OK);
		call->conn = NULL;
		conn->call = NULL;
		hc_conn_free(conn);
		hc_pool_place(call, true);
	} else if (!quiet || !take_over(conn)) {
		hc_dial_count(call, HC_DIALED_CONNECT);
		hc_call_fail(call, CH_HTTP_CONNECT, "%s closed the connection, or spoke, before it was asked anything.", conn->host->name);
	} else {
		hc_dial_count(call, HC_DIALED_OK);
		call->out->connected = call->pool->now;
		hc_conn_use(conn, call);
	}
}

/* A hub with room for one more. */
static struct hc_hub *hub_for(struct hc_pool *p)
{
	struct hc_hub *hub;

	for (struct hc_link *l = p->hubs.next; l != &p->hubs; l = l->next) {
		hub = HC_OF(l, struct hc_hub, link);
		if (!hub->host && hub->jobs < HUB_JOBS)
			return hub;
	}
	return hc_hub_new(p, NULL);
}

static bool start(struct hc_conn *conn)
{
	struct hc_host *h = conn->host;
	struct hc_hub *hub = hub_for(conn->pool);
	CURL *easy = conn->job.easy = curl_easy_init();
	char url[HC_HOST_MAX + 32];
	long version;

	conn->errors = calloc(1, CURL_ERROR_SIZE);
	conn->job.done = dialed;
	snprintf(url, sizeof(url), "http%s://%s/", h->tls ? "s" : "", h->name);
	version = conn->probe ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
	return hub && easy && conn->errors && hc_dial_options(easy, h, &conn->resolve, conn->errors, conn->call->connect_ms) &&
	       curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, conn) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket) == CURLE_OK &&
	       curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, conn) == CURLE_OK && hc_hub_add(hub, &conn->job);
}

void hc_dial_resolved(struct hc_call *call, int error, const char *why)
{
	if (error)
		hc_dial_no_address(call, error, why);
	else if (!start(call->conn))
		hc_call_no_memory(call);
}

void hc_dial(struct hc_call *call)
{
	struct hc_conn *conn = hc_conn_new(call->host, call);

	if (!conn) {
		hc_call_no_memory(call);
		return;
	}
	call->conn = conn;
	call->dialed = call->pool->now;
	if (hc_h2_unknown(call)) {
		conn->probe = true;
		call->host->probe = conn;
	}
	call->phase = HC_CONNECTING; /* waiting for a place and this are one time */
	hc_pool_due(call->pool, call->phase_due);
	switch (hc_lookup(call)) {
	case CH_OK:
		hc_dial_resolved(call, 0, NULL);
		break;
	case CH_AGAIN:
		break;
	default:
		hc_dial_no_address(call, CH_HTTP_BUSY, "the pool that asks for names is full");
	}
}
