/* SPDX-License-Identifier: Apache-2.0 */
#include "test_world.h"
int main(void)
{
	return 0;
}
