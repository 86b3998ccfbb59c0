/* SPDX-License-Identifier: Apache-2.0 */
#include "balance.h"

#include "router.h"

#define FADE_US 10000000 /* in which an average loses half of its weight */

/* ---- latency ---- */

int64_t router_latency_add(int64_t avg, int64_t age, int64_t measured)
{
	if (measured < 1)
		measured = 1;
	if (!avg || measured >= avg)
		return measured;
	if (age < 0)
		age = 0;
	return avg - (int64_t)((double)(avg - measured) * (double)age / ((double)age + FADE_US));
}

int64_t router_latency_now(int64_t avg, int64_t age)
{
	if (!avg || age <= 0)
		return avg;
	int64_t now = (int64_t)((double)avg * FADE_US / ((double)age + FADE_US));
	return now > 0 ? now : 1;
}

/* ---- choice ---- */

static size_t weighted(const struct router_candidate *v, size_t n, uint64_t random)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += v[i].out ? 0 : (uint64_t)v[i].weight;
	if (!sum)
		return n;
	uint64_t at = random % sum;
	size_t i = 0;
	while (v[i].out || at >= (uint64_t)v[i].weight)
		at -= v[i].out ? 0 : (uint64_t)v[i].weight, i++;
	return i;
}

/* What it costs to ask this one: less is better. */
static double cost(int balance, const struct router_candidate *v)
{
	if (balance == ROUTER_LEAST_IN_FLIGHT)
		return (double)v->in_flight / (double)v->weight;
	if (v->latency)
		return (double)v->latency * ((double)v->in_flight + 1) / (double)v->weight;
	return v->in_flight ? 1e18 * v->in_flight : 0; /* nobody knows: one call finds out, the others go elsewhere meanwhile */
}

static size_t cheapest(int balance, const struct router_candidate *v, size_t n, uint64_t random)
{
	uint64_t same = 0;
	double least = 0;
	size_t i;
	for (i = 0; i < n; i++) {
		double c = v[i].out ? 0 : cost(balance, &v[i]);
		if (v[i].out || (same && c > least))
			continue;
		same = same && c >= least ? same + 1 : 1;
		least = c;
	}
	if (!same)
		return n;
	uint64_t skip = random % same;
	for (i = 0; v[i].out || cost(balance, &v[i]) > least || skip--; i++)
		;
	return i;
}

size_t router_choose(int balance, const struct router_candidate *v, size_t n, uint64_t random)
{
	size_t i = 0;
	switch (balance) {
	case ROUTER_WEIGHTED:
		return weighted(v, n, random);
	case ROUTER_IN_ORDER:
		while (i < n && v[i].out)
			i++;
		return i;
	default:
		return cheapest(balance, v, n, random);
	}
}
