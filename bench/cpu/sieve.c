/* Byte loads and stores over 2 MiB, one short inner loop. */
#include "guest.h"

#define N (1 << 21)
static unsigned char composite[N];

static unsigned long kernel(void)
{
	unsigned long count = 0;
	for (int round = 0; round < 12; round++) {
		for (long i = 0; i < N; i++)
			composite[i] = 0;
		for (long i = 2; i < N; i++) {
			if (composite[i])
				continue;
			count++;
			for (long j = i * i; j < N; j += i)
				composite[j] = 1;
		}
	}
	return count;
}
