/* SPDX-License-Identifier: Apache-2.0 */
/* test_gpu.c - a driver made of functions: what is listed, what is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gpu.h"

static unsigned driver_count;
static int driver_rc;
static unsigned mute = ~0u;     /* the GPU that does not tell its memory */

static int count(unsigned *n)
{
	*n = driver_count;
	return driver_rc;
}

static int handle(unsigned i, void **device)
{
	*device = (void *)(uintptr_t)(i + 1);
	return 0;
}

static int name(void *device, char *out, unsigned n)
{
	memset(out, 'g', n); /* no final NUL, as a driver with a longer name might leave it */
	out[0] = (char)('0' + (uintptr_t)device);
	return 0;
}

static int utilization(void *device, struct nvml_utilization *u)
{
	u->gpu = 37;
	return device == (void *)1 ? 0 : 3; /* NVML_ERROR_NOT_SUPPORTED */
}

static int memory(void *device, struct nvml_memory *m)
{
	*m = (struct nvml_memory){ .total = 100, .free = 60, .used = 40 };
	return device == (void *)(uintptr_t)(mute + 1) ? 15 : 0; /* NVML_ERROR_GPU_IS_LOST */
}

static const struct nvml driver = { .count = count, .handle = handle, .name = name, .utilization = utilization, .memory = memory };

static int reset(void **state)
{
	(void)state;
	driver_count = 2;
	driver_rc = 0;
	mute = ~0u;
	return 0;
}

static void each_gpu_is_listed_with_what_it_tells(void **state)
{
	struct gpu_list list;

	(void)state;
	assert_true(nvml_read(&driver, &list));
	assert_int_equal(list.n, 2);
	assert_int_equal(list.v[0].utilization, 37);
	assert_int_equal(list.v[1].utilization, -1);
	assert_int_equal(list.v[0].memory_used, 40);
	assert_int_equal(list.v[0].memory_total, 100);
	assert_int_equal(strlen(list.v[0].name), sizeof(list.v[0].name) - 1);
}

static void a_lost_gpu_is_left_out(void **state)
{
	struct gpu_list list;

	(void)state;
	mute = 0;
	assert_true(nvml_read(&driver, &list));
	assert_int_equal(list.n, 1);
	assert_int_equal(list.v[0].name[0], '2');
}

static void more_gpus_than_room_are_cut(void **state)
{
	struct gpu_list list;

	(void)state;
	driver_count = GPU_MAX + 5;
	assert_true(nvml_read(&driver, &list));
	assert_int_equal(list.n, GPU_MAX);
}

static void a_driver_that_fails_gives_no_list(void **state)
{
	struct gpu_list list;

	(void)state;
	driver_rc = 999;
	assert_false(nvml_read(&driver, &list));
}

static void a_library_that_is_missing_or_is_no_driver_opens_nothing(void **state)
{
	struct nvml n;

	(void)state;
	assert_false(nvml_open(&n, "libno-such-library.so.1"));
	assert_null(n.library);
	assert_false(nvml_open(&n, "libc.so.6"));
	assert_null(n.library);
	nvml_close(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_gpu_is_listed_with_what_it_tells, reset),
		cmocka_unit_test_setup(a_lost_gpu_is_left_out, reset),
		cmocka_unit_test_setup(more_gpus_than_room_are_cut, reset),
		cmocka_unit_test_setup(a_driver_that_fails_gives_no_list, reset),
		cmocka_unit_test_setup(a_library_that_is_missing_or_is_no_driver_opens_nothing, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
