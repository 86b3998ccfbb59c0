/* SPDX-License-Identifier: MIT */
/*
 * chimera/host.h - the table of the host's functions, in the order they came: append-only. Plugins call them by the wrappers of plugin.h
 * and inspect.h, which say what each does; a test may hand a plugin a table of its own. Included by plugin.h. Since 0.2; before, in
 * plugin.h.
 */
#ifndef CHIMERA_HOST_H
#define CHIMERA_HOST_H

#ifndef CHIMERA_PLUGIN_H
#error "include <chimera/plugin.h>"
#endif

struct ch_server; /* these: see chimera/inspect.h */
struct ch_instance;
struct ch_check_state;
struct ch_sample;
struct ch_span;
struct ch_degradation;
struct ch_capability;
struct ch_refusal;

struct ch_host {
	size_t size;
	unsigned abi_major, abi_minor;
	void *(*alloc)(struct ch_ctx *, size_t);
	char *(*vprint)(struct ch_ctx *, const char *, va_list);
	struct ch_facts *(*facts)(struct ch_ctx *);
	void **(*slot)(struct ch_self *, struct ch_ctx *);
	struct ch_loop *(*loop)(struct ch_ctx *);
	int64_t (*deadline)(struct ch_ctx *);
	void (*deadline_set)(struct ch_ctx *, int64_t);
	ch_ticket (*suspend)(struct ch_ctx *, int64_t, ch_resumed, void *);
	void (*unsuspend)(ch_ticket);
	bool (*resume)(ch_ticket, void *, ch_fn);
	bool (*is_http)(struct ch_ctx *);
	struct ch_str (*path)(struct ch_ctx *);
	struct ch_str (*query)(struct ch_ctx *);
	struct ch_str (*param)(struct ch_ctx *, const char *);
	struct ch_str (*header)(struct ch_ctx *, const char *, size_t);
	bool (*header_at)(struct ch_ctx *, size_t, struct ch_str *, struct ch_str *);
	struct ch_str (*body)(struct ch_ctx *);
	bool (*peer_trusted)(struct ch_ctx *);
	int (*status)(struct ch_ctx *);
	int (*header_set)(struct ch_ctx *, const char *, size_t, const char *, size_t);
	int (*length)(struct ch_ctx *, uint64_t);
	int (*begin)(struct ch_ctx *, int);
	int (*write)(struct ch_ctx *, const void *, size_t, ch_fn, void *);
	int (*end)(struct ch_ctx *);
	void (*abort_)(struct ch_ctx *);
	void (*on_writable)(struct ch_ctx *, ch_fn, void *);
	int (*respond)(struct ch_ctx *, int, const char *, const void *, size_t);
	int (*vrefuse)(struct ch_ctx *, int, int64_t, const char *, const char *, va_list);
	struct ch_watch *(*watch)(struct ch_loop *, int, int, ch_watch_fn, void *);
	void (*watch_set)(struct ch_watch *, int);
	void (*watch_free)(struct ch_watch *);
	struct ch_timer *(*timer)(struct ch_loop *, ch_fn, void *);
	void (*timer_set)(struct ch_timer *, int64_t);
	void (*timer_free)(struct ch_timer *);
	bool (*post)(struct ch_loop *, ch_fn, void *);
	void (*turn_end)(struct ch_loop *, ch_fn, void *);
	int64_t (*now)(void);
	int64_t (*wall)(void);
	uint64_t (*random)(void);
	struct ch_loop *(*loop_at)(unsigned);
	unsigned (*loop_index)(struct ch_loop *);
	void **(*loop_state)(struct ch_self *, struct ch_loop *);
	bool (*offload)(struct ch_self *, void *(*)(void *), void *, ch_ticket, ch_fn);
	bool (*task)(struct ch_self *, struct ch_loop *, int64_t, ch_task_fn, void *, ch_fn);
	unsigned (*series)(struct ch_self *, unsigned, const char *const *);
	void (*add)(unsigned, double);
	void (*set)(unsigned, double);
	void (*observe)(unsigned, double);
	void (*metrics_walk)(void (*)(void *, const struct ch_sample *), void *);
	void (*vlog)(struct ch_self *, struct ch_ctx *, int, const char *, va_list);
	void (*vconfig_error)(struct ch_self *, const char *, const char *, const char *, va_list);
	void (*server)(struct ch_server *);
	void (*checks_walk)(void (*)(void *, const struct ch_check_state *), void *);
	const struct ch_code_info *(*code_info)(int);
	void (*checks_interval)(struct ch_self *, int64_t);
	void (*instances_walk)(struct ch_self *, void (*)(void *, const struct ch_instance *), void *);
	/* since 0.2 */
	int (*call_hooks)(struct ch_ctx *, void *, ch_resumed, void *);
	void (*call_end)(struct ch_ctx *);
	void *(*call)(struct ch_ctx *);
	bool (*fault)(struct ch_ctx *, int, struct ch_fault *);
	unsigned (*span_begin)(struct ch_ctx *, const char *);
	void (*span_note)(struct ch_ctx *, unsigned, const char *, const char *);
	void (*span_end)(struct ch_ctx *, unsigned, bool);
	void (*spans_walk)(struct ch_ctx *, void (*)(void *, const struct ch_span *), void *);
	int (*vout)(struct ch_ctx *, const char *, va_list);
	struct ch_thread *(*thread)(struct ch_self *, const char *, ch_fn, void *);
	void (*thread_join)(struct ch_thread *);
	int (*resolve)(struct ch_self *, const char *, struct ch_addrs *, ch_ticket);
	void *(*secret_alloc)(size_t);
	void (*secret_free)(void *);
	void (*vdegraded)(struct ch_self *, const char *, bool, const char *, va_list);
	void (*degraded_walk)(void (*)(void *, const struct ch_degradation *), void *);
	/* since 0.3 */
	bool (*keep)(struct ch_ctx *, ch_fn, void *);
	int (*refuse_as)(struct ch_ctx *, const struct ch_refusal *);
	void (*progress)(struct ch_ctx *, uint64_t, uint64_t, const char *);
	void (*capability)(struct ch_self *, const char *, bool);
	void (*capabilities_walk)(void (*)(void *, const struct ch_capability *), void *);
	/* since 0.4 */
	void (*hold)(struct ch_ctx *);
	void (*let_go)(struct ch_ctx *, bool);
	/* since 0.5 */
	const struct ch_route *(*route)(struct ch_ctx *);
	bool (*answer_header_at)(struct ch_ctx *, size_t, struct ch_str *, struct ch_str *);
	void (*outlive)(struct ch_ctx *, bool (*)(void *), void *);
	void (*forsake)(struct ch_ctx *);
};
extern CH_HIDDEN_ const struct ch_host *ch_host_; /* one in each plugin, defined by CH_PLUGIN */

#endif
