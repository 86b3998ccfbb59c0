/* SPDX-License-Identifier: Apache-2.0 */
/* storage_clickhouse.c - options, start and end, and the tables that the host reads. */
#include "storage_clickhouse.h"

#include <stdlib.h>
#include <strings.h>

#include "health.h"
#include "migrations.h"

/* ---- options ---- */

/* NULL: fine. The rest of it is http/1's to judge. */
static const char *url_fault(const char *url)
{
	const char *host = !strncmp(url, "http://", 7) ? url + 7 : !strncmp(url, "https://", 8) ? url + 8 : NULL;

	if (!host)
		return "must begin with http:// or https://: it is ClickHouse's HTTP port, usually 8123";
	if (!*host || *host == '/' || *host == ':')
		return "names no host";
	if (strpbrk(host, "?#"))
		return "must hold neither a query nor a fragment: the database stands in the option database";
	if (memchr(host, '@', strcspn(host, "/")))
		return "must not hold a name or password: they stand in the options user and password";
	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
			return "holds a blank, or something that is not ASCII";
	return NULL;
}

static bool header_fits(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static int check(struct ch_self *self)
{
	const struct click_conf *conf = self->conf;
	const char *why = url_fault(conf->url);

	if (why)
		ch_config_error(self, NULL, "url", "%s", why);
	if (!header_fits(conf->user))
		ch_config_error(self, NULL, "user", "holds a control character");
	if (!header_fits(conf->password))
		ch_config_error(self, NULL, "password", "holds a control character, such as an end of line; take it out of the file");
	return why || !header_fits(conf->user) || !header_fits(conf->password) ? CH_ERROR : CH_OK;
}

/* ---- life ---- */

static char *make_base(const struct click_conf *conf)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = strlen(conf->url);
	char *base = malloc(n + 3 * strlen(conf->database) + 16), *to = base;

	if (!base)
		return NULL;
	memcpy(to, conf->url, n);
	to += n;
	if (!strchr(conf->url + 8, '/'))
		*to++ = '/';
	to = stpcpy(to, "?database=");
	for (const char *p = conf->database; *p; p++) {
		unsigned char b = (unsigned char)*p;

		*to++ = '%';
		*to++ = hex[b >> 4];
		*to++ = hex[b & 15];
	}
	*to = 0;
	return base;
}

/* As it is written: a name is not looked up for this. */
static bool on_this_machine(const char *url)
{
	static const char *const hosts[] = { "localhost", "[::1]" };
	const char *host = strstr(url, "://") + 3;
	size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		if (n == strlen(hosts[i]) && !strncasecmp(host, hosts[i], n))
			return true;
	return !strncmp(host, "127.", 4) && strspn(host, "0123456789.") >= n;
}

static int start(struct ch_self *self, const struct ch_self *prev)
{
	const struct click_conf *conf = self->conf;
	struct click *k = self->state;
	pthread_condattr_t monotonic;

	(void)prev;
	k->self = self;
	k->gzip = conf->compress == CLICK_ON || (conf->compress == CLICK_AUTO && !on_this_machine(conf->url));
	k->base = make_base(conf);
	if (!k->base) {
		ch_log(self, NULL, CH_ERR, "No memory is left for the address of ClickHouse.");
		return CH_ERROR;
	}
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&k->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	ch_db_errors_init(self, &k->errors);
	ch_db_gauges_init(self, &k->gauges);
	return CH_OK;
}

static void retire(struct ch_self *self)
{
	click_migrations_end(self->state);
}

static void stop(struct ch_self *self)
{
	struct click *k = self->state;

	click_migrations_end(k);
	click_migrations_join(k);
	ch_db_gauges_say(&k->gauges, 0, 0, 0);
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	free(k->base);
}

/* ---- tables ---- */

#define OPT(name, T, ...) CH_OPT(struct click_conf, name, T, __VA_ARGS__)
static const char *const compress_names[] = { "auto", "on", "off", NULL }; /* enum click_compress */

static const struct ch_option options[] = {
	OPT(url, STR, .flags = CH_O_REQUIRED, .def = "http://127.0.0.1:8123", .help = "ClickHouse's HTTP port, http or https"),
	OPT(database, STR, .flags = CH_O_REQUIRED, .def = "chimera", .help = "The database; it must be there"),
	OPT(user, STR, .flags = CH_O_REQUIRED, .def = "default", .help = "The user; it is sent as a header, never in a URL"),
	OPT(password, STR, .flags = CH_O_SECRET,
		.help = "The user's password; it is sent as a header, so use https where others can listen"),
	OPT(batch_rows, INT, .def = "10000", .min = "1", .max = "100000", .help = "Rows are sent in batches of so many"),
	OPT(batch_age, DURATION, .def = "1s", .min = "1ms", .max = "1h", .help = "… or when the first of them has waited so long"),
	OPT(timeout, DURATION, .def = "10s", .min = "10ms", .max = "1h", .help = "A batch, or a question, is given up after so long"),
	OPT(connect_timeout, DURATION, .def = "2s", .min = "1ms", .max = "1h", .help = "How long a connection to the server may take"),
	OPT(compress, ENUM, .def = "auto", .values = compress_names,
		.help = "Send batches compressed by gzip: auto does so unless the server is on this machine, where it only costs time"),
	OPT(http, SERVICE, .flags = CH_O_REQUIRED, .def = "auto", .iface = "http/1", .help = "Who makes the requests"),
	CH_MIGRATE_OPTIONS(struct click_conf, "check"),
};

static const struct ch_metric metrics[] = { CH_DB_METRICS, CH_MIGRATE_METRICS };

static const struct ch_provide provides[] = { { "sink/1", &click_sink, 5 } };

static const struct ch_check checks[] = { { .name = "storage_clickhouse", .fn = click_check } };

static const struct ch_command commands[] = { CH_MIGRATE_COMMANDS(click_on_migrate, click_on_schema) };

static const struct ch_plugin storage_clickhouse = {
	.size = sizeof(storage_clickhouse),
	.abi_major = CH_ABI_MAJOR,
	.abi_minor = CH_ABI_MINOR,
	.name = "storage_clickhouse",
	.version = CHIMERA_VERSION,
	.summary = "Rows of the ledgers in ClickHouse, in batches, each row once",
	.conf_size = sizeof(struct click_conf),
	.state_size = sizeof(struct click),
	.options = CH_TABLE(options),
	.metrics = CH_TABLE(metrics),
	.provides = CH_TABLE(provides),
	.checks = CH_TABLE(checks),
	.commands = CH_TABLE(commands),
	.check = check,
	.start = start,
	.retire = retire,
	.stop = stop,
};

CH_PLUGIN(storage_clickhouse, storage_clickhouse)
