/*
 * A background snapshot, as QEMU takes one of a running guest: the image is the memory as it was at one instant,
 * although the guest keeps writing.
 *
 * At the instant all pages are write-protected. Whoever comes to a page first saves it and only then takes the
 * protection away: the handler thread when the guest writes there, or the sweep that walks over all pages.
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "uffd.h"

#define PAGES 64
#define HEAD_START 8 /* pages the handler has to save on a write before the sweep begins */
#define AFTERWARDS 500 /* writes of the guest once the snapshot is complete */

static size_t page_size, words_per_page;
static uint64_t *memory; /* the guest's */
static uint64_t *expected_now; /* the guest's own account of what its memory holds */
static uint64_t *image; /* the snapshot */
static int uffd, stop;

static pthread_mutex_t saving = PTHREAD_MUTEX_INITIALIZER; /* guards the three below, and `image` */
static pthread_cond_t saved_on_write = PTHREAD_COND_INITIALIZER;
static int saved[PAGES];
static int by_handler;

static pthread_barrier_t instant; /* passed when the snapshot instant is over and the guest may go on */
static int complete; /* atomic: every page is in the image */

static uint64_t word_at_instant(size_t page, size_t word)
{
	return (page * words_per_page + word) * 0xd1342543de82ef95u + 1;
}

/* Saves a page that is still protected, hence still as it was, and lets writers in again. */
static void save(size_t page, int on_write)
{
	pthread_mutex_lock(&saving);
	if (!saved[page]) {
		memcpy(image + page * words_per_page, memory + page * words_per_page, page_size);
		saved[page] = 1;
		if (on_write && ++by_handler == HEAD_START)
			pthread_cond_signal(&saved_on_write);
	}
	pthread_mutex_unlock(&saving);
	uffd_protect(uffd, memory + page * words_per_page, page_size, 0);
}

static void *handler(void *unused)
{
	struct uffd_msg msg;

	while (uffd_wait(uffd, stop)) {
		if (!uffd_read(uffd, &msg, 1))
			continue;
		if (msg.event != UFFD_EVENT_PAGEFAULT || !(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP))
			wrong("a message that is no write-protect fault", msg.event);
		save((msg.arg.pagefault.address - (uintptr_t)memory) / page_size, 1);
	}
	return unused;
}

/* The sweep: every page that no write has asked for. */
static void sweep(void)
{
	pthread_mutex_lock(&saving);
	while (by_handler < HEAD_START)
		pthread_cond_wait(&saved_on_write, &saving);
	pthread_mutex_unlock(&saving);
	for (size_t page = 0; page < PAGES; page++)
		save(page, 0);
}

/* One write of the guest, at a place that wanders over all pages. */
static void guest_write(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	size_t at = (*state >> 33) % (PAGES * words_per_page);
	expected_now[at] = *state;
	((volatile uint64_t *)memory)[at] = *state;
}

static void *guest(void *unused)
{
	uint64_t state = 42;
	int left = AFTERWARDS;

	pthread_barrier_wait(&instant);
	while (left > 0) {
		left -= __atomic_load_n(&complete, __ATOMIC_ACQUIRE);
		guest_write(&state);
	}
	return unused;
}

static int pages_equal(const uint64_t *a, const uint64_t *b)
{
	int equal = 0;
	for (size_t page = 0; page < PAGES; page++)
		equal += !memcmp(a + page * words_per_page, b + page * words_per_page, page_size);
	return equal;
}

int main(void)
{
	size_t len;
	int moved_on, in_image, in_memory;

	page_size = sysconf(_SC_PAGESIZE);
	words_per_page = page_size / sizeof *memory;
	len = PAGES * page_size;
	memory = map_pages(len);
	expected_now = map_pages(len);
	image = map_pages(len);
	for (size_t page = 0; page < PAGES; page++)
		for (size_t w = 0; w < words_per_page; w++)
			memory[page * words_per_page + w] = word_at_instant(page, w);
	memcpy(expected_now, memory, len);

	stop = bell_new();
	uffd = uffd_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	uffd_register(uffd, memory, len, UFFDIO_REGISTER_MODE_WP, 1ull << _UFFDIO_WRITEPROTECT);
	pthread_barrier_init(&instant, NULL, 2);
	pthread_t guest_thread = start_thread(guest, NULL);
	pthread_t handler_thread = start_thread(handler, NULL);

	uffd_protect(uffd, memory, len, 1);
	pthread_barrier_wait(&instant);
	sweep();
	__atomic_store_n(&complete, 1, __ATOMIC_RELEASE);
	pthread_join(guest_thread, NULL);
	bell_ring(stop);
	pthread_join(handler_thread, NULL);
	uffd_unregister(uffd, memory, len);
	close(uffd);

	in_memory = pages_equal(memory, expected_now);
	for (size_t page = 0; page < PAGES; page++)
		for (size_t w = 0; w < words_per_page; w++)
			expected_now[page * words_per_page + w] = word_at_instant(page, w);
	in_image = pages_equal(image, expected_now);
	moved_on = PAGES - pages_equal(memory, image);

	printf("bg-snapshot: %d pages, a guest that keeps writing\n", PAGES);
	printf("  at least %d pages were saved because the guest wrote there: %s\n", HEAD_START,
	       by_handler >= HEAD_START ? "yes" : "no");
	printf("  pages of the image as they were at the instant: %d\n", in_image);
	printf("  pages of the guest with every write it made: %d\n", in_memory);
	printf("  the guest has moved on since: %s\n", moved_on >= HEAD_START ? "yes" : "no");
	if (by_handler < HEAD_START || in_image != PAGES || in_memory != PAGES || moved_on < HEAD_START)
		wrong("the image is not the memory at one instant, or a write was lost", in_image);
	printf("bg-snapshot: ok\n");
	return 0;
}
