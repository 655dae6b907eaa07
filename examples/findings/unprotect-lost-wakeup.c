// SPDX-License-Identifier: MIT
/*
 * UFFDIO_WRITEPROTECT without the mode lifts the protection of a page and wakes who waits for it. A writer that is just
 * about to queue itself sleeps on all the same, if the page is a clean one of shared memory: it has no right to write yet.
 *
 *   gcc -O2 -pthread -o unprotect-lost-wakeup unprotect-lost-wakeup.c && ./unprotect-lost-wakeup
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096L
#define PAGES 20000L
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static char *mem;
static atomic_long go = -1, done = -1;

static void *writer(void *unused)
{
	long last = -1;

	for (;;) {
		long page = atomic_load(&go);

		if (page == last)
			continue;
		last = page;
		mem[page * PAGE] = 1;
		atomic_store(&done, page);
	}
	return unused;
}

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static int finished(long page, long ns)
{
	long end = now() + ns;

	while (atomic_load(&done) != page && now() < end)
		;
	return atomic_load(&done) == page;
}

static void must(int failed, const char *what)
{
	if (!failed)
		return;
	perror(what);
	exit(2);
}

int main(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	int file = memfd_create("pages", 0);
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	pthread_t thread;

	must(fd < 0, "userfaultfd");
	must(ioctl(fd, UFFDIO_API, &api), "UFFDIO_API");
	must(ftruncate(file, PAGES * PAGE), "ftruncate");
	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	must(mem == MAP_FAILED, "mmap");
	must(madvise(mem, PAGES * PAGE, MADV_POPULATE_READ), "MADV_POPULATE_READ");

	struct uffdio_register reg = { .range = { (unsigned long)mem, PAGES * PAGE },
				       .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect protect = { .range = reg.range,
					       .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	must(ioctl(fd, UFFDIO_REGISTER, &reg), "UFFDIO_REGISTER");
	must(ioctl(fd, UFFDIO_WRITEPROTECT, &protect), "UFFDIO_WRITEPROTECT");
	must(pthread_create(&thread, NULL, writer, NULL), "pthread_create");

	for (long page = 0; page < PAGES; page++) {
		struct uffdio_range range = { (unsigned long)mem + page * PAGE, PAGE };
		struct uffdio_writeprotect lift = { .range = range };
		struct uffd_msg msg;
		unsigned long word = 0;
		long start;

		atomic_store(&go, page);
		start = now() + rand() % 3000;
		while (now() < start)
			;
		must(ioctl(fd, UFFDIO_WRITEPROTECT, &lift), "UFFDIO_WRITEPROTECT");
		/* Long enough for a writer that only lost its processor for a while. */
		if (finished(page, 2000000000L)) {
			while (read(fd, &msg, sizeof(msg)) == sizeof(msg))
				;
			continue;
		}
		must(pread(pagemap, &word, 8, ((unsigned long)mem / PAGE + page) * 8) != 8, "pagemap");
		printf("round %ld: the page is %sprotected, and the writer still sleeps seconds later\n",
		       page, (word >> 57 & 1) != 0 ? "" : "not ");
		must(ioctl(fd, UFFDIO_WAKE, &range), "UFFDIO_WAKE");
		printf("after UFFDIO_WAKE: it %s\n", finished(page, 2000000000L) ? "went on" : "sleeps");
		return 0;
	}
	printf("not met in %ld rounds\n", PAGES);
	return 1;
}
