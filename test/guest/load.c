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

/* A page server: reads a message, copies a page, which wakes the thread that touched it. */
static void *serve(void *fd)
{
	int uffd = *(int *)fd;
	size_t size = sysconf(_SC_PAGESIZE);
	char *page = pages(1);
	struct uffd_msg msg;
	memset(page, 7, size);
	while (read(uffd, &msg, sizeof msg) == sizeof msg) {
		struct uffdio_copy copy = {
			.dst = msg.arg.pagefault.address & ~(size - 1),
			.src = (uintptr_t)page,
			.len = size,
		};
		CHECK(ioctl(uffd, UFFDIO_COPY, &copy) == 0);
	}
	return NULL;
}

void test_roundtrip(void)
{
	enum { PAGES = 2048, ROUNDS = 4 };
	size_t size = sysconf(_SC_PAGESIZE);
	char *area = pages(PAGES);
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY), sum = 0;
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)area, PAGES * size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	pthread_t server;
	CHECK(uffd >= 0);
	madvise(area, PAGES * size, MADV_NOHUGEPAGE);
	CHECK(ioctl(uffd, UFFDIO_API, &api) == 0);
	CHECK(ioctl(uffd, UFFDIO_REGISTER, &reg) == 0);
	CHECK(pthread_create(&server, NULL, serve, &uffd) == 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int page = 0; page < PAGES; page++)
			sum += area[page * size];
		CHECK(madvise(area, PAGES * size, MADV_DONTNEED) == 0);
	}
	SAY("%d round trips", sum / 7);
}
