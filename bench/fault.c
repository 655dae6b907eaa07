/* First-touch write faults on private anonymous memory: seconds per million, medians of several rounds. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
	size_t pages = argc > 1 ? strtoul(argv[1], 0, 10) : 65536;
	int rounds = argc > 2 ? atoi(argv[2]) : 5;

	for (int r = 0; r < rounds; r++) {
		char *p = mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED) {
			perror("mmap");
			return 1;
		}
		madvise(p, pages * 4096, MADV_NOHUGEPAGE);
		double began = now();
		for (size_t i = 0; i < pages; i++)
			((volatile char *)p)[i * 4096] = 1;
		printf("%.9f\n", (now() - began) / pages);
		munmap(p, pages * 4096);
	}
	return 0;
}
