/* What procfs says of memory; malloc; floating point; long jumps. */
#include "suite.h"
#include <math.h>
#include <setjmp.h>

/* The rights that /proc/self/maps gives an address, and how long the line's range is in pages. */
static int rights_of(const void *address, char *rights)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long start, end, wanted = (unsigned long)address;
	int found = 0;

	CHECK(maps);
	while (fgets(line, sizeof line, maps)) {
		CHECK(sscanf(line, "%lx-%lx %4s", &start, &end, rights) == 3);
		if (wanted >= start && wanted < end) {
			found = (end - start) / sysconf(_SC_PAGESIZE);
			break;
		}
	}
	fclose(maps);
	return found;
}

void test_maps(void)
{
	size_t size = sysconf(_SC_PAGESIZE);
	char rights[8], *area = pages(9);
	int on_stack;

	CHECK(munmap(area, size) == 0 && munmap(area + 8 * size, size) == 0);
	area += size;
	CHECK(mprotect(area + 2 * size, 2 * size, PROT_READ) == 0);
	CHECK(mprotect(area + 4 * size, size, PROT_NONE) == 0);
	for (int page = 0; page < 7; page++) {
		int length = rights_of(area + page * size, rights);
		/* What lies around may have merged with the ends. */
		SAY("page %d: %s, %s", page, length ? rights : "none",
		    page >= 2 && page < 4 ? (length == 2 ? "2 pages" : "WRONG") : "");
	}
	CHECK(mprotect(area, 7 * size, PROT_READ | PROT_WRITE) == 0);
	CHECK(munmap(area + 3 * size, size) == 0);
	CHECK(rights_of(area + 3 * size, rights) == 0);
	CHECK(rights_of(&on_stack, rights) > 0);
	SAY("stack: %s", rights);
	CHECK(rights_of((void *)(uintptr_t)test_maps, rights) > 0);
	SAY("code: %s", rights);
	CHECK(mmap(area, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
	      MAP_FAILED);
	SAY("taken: %s", strerror(errno));
	CHECK(mmap((void *)(area + 1), size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	      MAP_FAILED && errno == EINVAL);
}

static uint64_t pagemap(int fd, const void *address)
{
	uint64_t word;
	off_t at = (uintptr_t)address / sysconf(_SC_PAGESIZE) * 8;
	CHECK(pread(fd, &word, 8, at) == 8);
	return word;
}

void test_pagemap(void)
{
	size_t size = sysconf(_SC_PAGESIZE);
	char *area = pages(4);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	volatile char seen;

	CHECK(fd >= 0);
	CHECK(madvise(area, 4 * size, MADV_NOHUGEPAGE) == 0 || errno == EINVAL);
	area[size] = 1;
	seen = area[2 * size];
	for (int page = 0; page < 4; page++) {
		uint64_t word = pagemap(fd, area + page * size);
		SAY("page %d: present %d, exclusive %d", page, (int)(word >> 63), (int)(word >> 56 & 1));
	}
	CHECK(madvise(area, 4 * size, MADV_DONTNEED) == 0);
	SAY("present after DONTNEED: %d", (int)(pagemap(fd, area + size) >> 63));
	SAY("reads %d", area[size] + seen);
	CHECK(open("/proc/self/no-such-file", O_RDONLY) == -1);
	SAY("%s", strerror(errno));
	close(fd);
}

void test_malloc(void)
{
	static struct {
		unsigned char *p;
		size_t size;
		unsigned char fill;
	} blocks[200];
	uint64_t state = 12345;
	long checked = 0;

	for (int i = 0; i < 6000; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		int slot = (state >> 33) % 200;
		size_t size = (state >> 45) % (i % 40 == 0 ? 300000 : 2000);
		for (size_t k = 0; k < blocks[slot].size; k += 61) {
			CHECK(blocks[slot].p[k] == blocks[slot].fill);
			checked++;
		}
		if (state >> 60 < 5) {
			free(blocks[slot].p);
			blocks[slot].p = NULL;
			blocks[slot].size = 0;
			continue;
		}
		blocks[slot].p = realloc(blocks[slot].p, size + 1);
		CHECK(blocks[slot].p);
		blocks[slot].size = size;
		blocks[slot].fill = i;
		memset(blocks[slot].p, i, size);
	}
	for (int slot = 0; slot < 200; slot++)
		free(blocks[slot].p);
	SAY("%ld bytes looked at", checked);
}

void test_float(void)
{
	double third = 1.0 / 3, big = 1e300, values[] = { 0.1, 1e21, -2.5, 1e-310, INFINITY, -0.0 };
	float f = 16777216.0f;
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		SAY("%g %.17g %a %10.3f", values[i], values[i], values[i], values[i] > 1e20 ? 0 : values[i]);
	SAY("%.20f %.3e %.0f %.0f", third, big, 2.5, 3.5);
	SAY("%d %d %d", f + 1.0f == f, big * big > 1e308, isnan(0 * INFINITY));
	SAY("%.17g %.17g %.17g", sin(1), exp(1.5), pow(2, 0.5));
	SAY("%.17g %.17g %.17g", strtod("1.7976931348623157e308", NULL), strtod("4.9e-324", NULL),
	    fma(0.1, 10, -1));
	SAY("%ld %ld %d %u", lrint(2.5), lrint(-3.5), (int)-2.9, (unsigned)4e9);
	SAY("%.9g %.9g", sqrt(2), (double)sqrtf(2.0f));
}

static jmp_buf back;
static volatile int level;

/* `level` keeps the compiler from seeing that it does not come back. */
static void down(int n)
{
	volatile double keep = n * 0.5;
	level = n;
	if (level == 20)
		longjmp(back, 7);
	if (level < 100)
		down(n + 1);
	CHECK(keep == n * 0.5);
}

void test_jump(void)
{
	volatile double x = 2.75;
	volatile int times = 0;
	int value = setjmp(back);

	times++;
	if (value == 0)
		down(0);
	SAY("came back with %d from level %d, x %.2f, times %d", value, level, x, times);
}
