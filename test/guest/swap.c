/* More memory than there is RAM. What it prints does not depend on where the pages were. */
#include "suite.h"
#include <sys/swap.h>

enum { AREA = 1024 };

/* Number of pages that do not hold what was written to them. */
static int wrong_pages(const char *area, int round)
{
	size_t size = sysconf(_SC_PAGESIZE);
	int wrong = 0;

	for (int i = 0; i < AREA; i++) {
		const int *words = (const int *)(area + i * size);
		wrong += words[0] != i + round || words[size / sizeof *words - 1] != i - round;
	}
	return wrong;
}

static int lines_of(const char *path)
{
	FILE *file = fopen(path, "r");
	int lines = 0, c;

	CHECK(file);
	while ((c = fgetc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

/* With a swap device: three rounds of writing and reading all of it, by a child too; then the device goes off. */
void way_larger(void)
{
	size_t size = sysconf(_SC_PAGESIZE);
	char *area = pages(AREA);
	pid_t child;
	int status;

	for (int round = 1; round <= 3; round++) {
		for (int i = 0; i < AREA; i++) {
			int *words = (int *)(area + i * size);
			words[0] = i + round;
			words[size / sizeof *words - 1] = i - round;
		}
		SAY("round %d: %d wrong", round, wrong_pages(area, round));
	}
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(wrong_pages(area, 3) != 0);
	CHECK(waitpid(child, &status, 0) == child);
	SAY("child: %d", status);
	CHECK(munmap(area + 64 * size, (AREA - 64) * size) == 0);
	SAY("devices: %d", lines_of("/proc/swaps") - 1);
	CHECK(swapoff("/dev/zram0") == 0);
	SAY("devices: %d", lines_of("/proc/swaps") - 1);
	for (int i = 0; i < 64; i++)
		CHECK(*(int *)(area + i * size) == i + 3);
	CHECK(swapon("/dev/zram0", 0) == 0);
	SAY("devices: %d", lines_of("/proc/swaps") - 1);
}

/* Without one: nobody comes out of here. */
void way_too_large(void)
{
	size_t size = sysconf(_SC_PAGESIZE);
	char *area = pages(AREA);

	for (int i = 0; i < AREA; i++)
		area[i * size] = 1;
}
