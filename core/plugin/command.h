/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/plugin/command.h - verbs of plugins, see struct ch_command: each runs in a ctx of its own, whoever asked for it. The asker is
 * control_run.c in a server and tool.c in a process of its own. Everything on the loop that runs it, which is the house loop in both.
 */
#ifndef CHI_COMMAND_H
#define CHI_COMMAND_H

#include "core/plugin/build.h"

#include <chimera/kit/json.h>

#define CHI_COMMAND_WHAT 256 /* bytes of what ch_progress tells, with its NUL; more is cut */

/* Exit codes beside 0. */
enum { CHI_COMMAND_REFUSED = 1, CHI_COMMAND_BROKEN = 70, CHI_COMMAND_NOT_RUN = 75 };

struct chi_command { /* the asker's memory, zeroed but for what it sets; until `ended` is called */
	const struct ch_command *row;
	struct chi_inst *inst;
	/*
	 * The next piece of output: UTF-8, whole characters, at most 64 KiB. CH_OK; CH_AGAIN: taken, but much waits, and
	 * chi_command_writable will be called; CH_DONE: nobody reads any more, and the verb hears GONE.
	 */
	int (*out)(struct chi_command *, const char *p, size_t n);
	/* How far it is, told often, for whoever looks on: some 10 times a second at most, and the last. NULL: nobody does. */
	void (*progress)(struct chi_command *, uint64_t done, uint64_t total, const char *what);
	/* It is over: 0, or one of the above with a sentence in `why`. Nothing here is looked at any more. */
	void (*ended)(struct chi_command *, int code);
	void *arg;                    /* the asker's */
	char why[1024];

	/* command.c's own: */
	struct ch_ctx *ctx;           /* while it runs */
	struct ch_loop *loop;
	struct chi_gen *gen;
	struct chi_hook hook;
	size_t argc;
	const char *const *argv;
	ch_fn on_writable;
	void *on_writable_data;
	int code;
	bool gone;
	struct {
		int64_t at;           /* chi_clock when the asker was told last; 0: never */
		bool kept;            /* what came since then is here, not told yet: */
		uint64_t done, total;
		char what[CHI_COMMAND_WHAT];
	} far;
};

/* Tells of a row that is a mistake in the plugin. Boot thread. */
void chi_commands_check(struct chi_build *b, struct chi_inst *i);
/* {"commands":[{instance, plugin, name, args, min_args, max_args, summary, modes: ["live", "offline"]}]} */
void chi_commands_json(const struct chi_gen *g, struct ch_jw *w);
/* The row of that verb of the instance. NULL, and a sentence that names what there is. */
const struct ch_command *chi_command_find(const struct chi_inst *i, const char *name, char *why, size_t cap);
/* Does the verb take so many arguments? False: a sentence in why. */
bool chi_command_fits(const struct ch_command *row, size_t argc, char *why, size_t cap);

/*
 * Runs it at the end of this turn, in a ctx of `gen`, which must be held until then. argv is the asker's and lives as long as *cmd; the
 * verb sees copies. `ended` is called in every case, once.
 */
void chi_command_run(struct chi_command *cmd, struct ch_loop *l, struct chi_gen *gen, size_t argc, const char *const *argv);
/* The asker has left: the verb hears GONE. */
void chi_command_gone(struct chi_command *cmd);
/* After `out` gave CH_AGAIN: most of it is gone. */
void chi_command_writable(struct chi_command *cmd);

/* Lines of JSON for programs: a piece of output, how far it is, and the end. Each ends with a newline. */
void chi_command_line(struct ch_jw *w, const char *p, size_t n);
void chi_command_far(struct ch_jw *w, uint64_t done, uint64_t total, const char *what);
void chi_command_last(struct ch_jw *w, int code, const char *why);

/* From the host table. */
int chi_command_out(struct ch_ctx *c, const char *p, size_t n);
void chi_command_progress(struct ch_ctx *c, uint64_t done, uint64_t total, const char *what);
void chi_command_on_writable(struct ch_ctx *c, ch_fn fn, void *data);
void chi_command_refuse(struct ch_ctx *c, const char *detail);

#endif
