/*
 * Dies as C programs die: reads through a null pointer. A shell shows status 139 (128 + SIGSEGV).
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>

int main(void)
{
	int *volatile nowhere = NULL; /* volatile, so that the compiler cannot see what comes */

	printf("segv-demo: reading address 0\n");
	fflush(stdout);
	printf("segv-demo: read %d, which no machine should let happen\n", *nowhere);
	return 0;
}
