/*
 * A page server: memory whose pages arrive when they are first touched, as after a post-copy migration.
 *
 * A handler thread answers each missing page, with UFFDIO_COPY of what the "source machine" holds or, for a page
 * that is all zero there, with UFFDIO_ZEROPAGE. Two threads walk the memory towards each other, so that they also
 * meet on the same page. Every word is checked.
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "uffd.h"

#define PAGES 64

static size_t page_size;
static unsigned char *region;
static int uffd, stop;
static int served[PAGES]; /* written by the handler only */

static int is_zero_page(size_t page)
{
	return page % 8 == 5;
}

/* What the source machine holds in one word of a page. */
static uint64_t source_word(size_t page, size_t word)
{
	return is_zero_page(page) ? 0 : (page + 1) * 0x9e3779b97f4a7c15u ^ word;
}

/* Returns 1 when this call brought the page, 0 when it was there already. */
static int serve(size_t page, uint64_t *buffer)
{
	uint64_t at = (uintptr_t)region + page * page_size;
	struct uffdio_zeropage zero = { .range = { at, page_size } };
	struct uffdio_copy copy = { .dst = at, .src = (uintptr_t)buffer, .len = page_size };

	for (size_t w = 0; w < page_size / sizeof *buffer; w++)
		buffer[w] = source_word(page, w);
	for (;;) {
		if (!(is_zero_page(page) ? ioctl(uffd, UFFDIO_ZEROPAGE, &zero)
					 : ioctl(uffd, UFFDIO_COPY, &copy)))
			return 1;
		if (errno == EEXIST) { /* two faults, one page: the first answer did it, but this waiter must still run */
			struct uffdio_range range = { at, page_size };
			if (ioctl(uffd, UFFDIO_WAKE, &range))
				refused("UFFDIO_WAKE");
			return 0;
		}
		if (errno != EAGAIN)
			refused("UFFDIO_COPY");
	}
}

static void *handler(void *unused)
{
	struct uffd_msg msgs[4];
	uint64_t *buffer = malloc(page_size);

	if (!buffer)
		refused("malloc");
	while (uffd_wait(uffd, stop)) {
		int n = uffd_read(uffd, msgs, 4);
		for (int i = 0; i < n; i++) {
			if (msgs[i].event != UFFD_EVENT_PAGEFAULT)
				wrong("an event nobody asked for", msgs[i].event);
			size_t page = (msgs[i].arg.pagefault.address - (uintptr_t)region) / page_size;
			if (page >= PAGES)
				wrong("a fault outside the memory", page);
			served[page] += serve(page, buffer);
		}
	}
	free(buffer);
	return unused;
}

struct walk {
	int backward;
	int good; /* pages whose every word was right */
};

static void *walker(void *arg)
{
	struct walk *walk = arg;

	for (size_t i = 0; i < PAGES; i++) {
		size_t page = walk->backward ? PAGES - 1 - i : i;
		const volatile uint64_t *words = (void *)(region + page * page_size);
		int good = 1;
		for (size_t w = 0; w < page_size / sizeof *words; w++)
			good &= words[w] == source_word(page, w);
		walk->good += good;
	}
	return NULL;
}

int main(void)
{
	struct walk walks[2] = { { .backward = 0 }, { .backward = 1 } };
	pthread_t walkers[2], server;
	int once = 0;

	page_size = sysconf(_SC_PAGESIZE);
	region = map_pages(PAGES * page_size);
	stop = bell_new();
	uffd = uffd_open(0);
	uffd_register(uffd, region, PAGES * page_size, UFFDIO_REGISTER_MODE_MISSING,
		      1ull << _UFFDIO_COPY | 1ull << _UFFDIO_ZEROPAGE | 1ull << _UFFDIO_WAKE);
	server = start_thread(handler, NULL);
	for (int i = 0; i < 2; i++)
		walkers[i] = start_thread(walker, &walks[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(walkers[i], NULL);
	bell_ring(stop);
	pthread_join(server, NULL);
	uffd_unregister(uffd, region, PAGES * page_size);
	close(uffd);

	for (size_t page = 0; page < PAGES; page++)
		once += served[page] == 1;
	printf("missing-demo: a page server for %d pages, 2 threads\n", PAGES);
	printf("  pages brought exactly once: %d\n", once);
	for (int i = 0; i < 2; i++)
		printf("  the thread walking %s read %d pages as the source holds them\n",
		       walks[i].backward ? "down" : "up", walks[i].good);
	if (once != PAGES || walks[0].good != PAGES || walks[1].good != PAGES)
		wrong("a page came twice, not at all, or with other content", once);
	munmap(region, PAGES * page_size);
	printf("missing-demo: ok\n");
	return 0;
}
