/* Many of one thing: what a benchmark measures. */
#include "suite.h"

void test_calls(void)
{
	pid_t parent = getppid();
	int same = 0;
	for (int i = 0; i < 20000; i++)
		same += syscall(SYS_getppid) == parent;
	SAY("%d calls", same);
}

void test_touch(void)
{
	size_t size = sysconf(_SC_PAGESIZE);
	char *area = pages(2048);
	int zeroes = 0;
	madvise(area, 2048 * size, MADV_NOHUGEPAGE);
	for (int round = 0; round < 4; round++) {
		for (int page = 0; page < 2048; page++) {
			zeroes += area[page * size] == 0;
			area[page * size] = 1;
		}
		CHECK(madvise(area, 2048 * size, MADV_DONTNEED) == 0);
	}
	SAY("%d pages", zeroes);
}

void test_loop(void)
{
	uint32_t x = 1, words[1024] = { 0 };
	for (int i = 0; i < 3000000; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		words[x % 1024] += i;
	}
	for (int i = 0; i < 1024; i++)
		x ^= words[i];
	SAY("%u", x);
}
