/* Registers only: 64-bit arithmetic and an unpredictable branch. */
#include "guest.h"

static unsigned long kernel(void)
{
	unsigned long steps = 0;
	for (unsigned long n = 1; n < 400000; n++)
		for (unsigned long x = n; x != 1; steps++)
			x = x & 1 ? 3 * x + 1 : x >> 1;
	return steps;
}
