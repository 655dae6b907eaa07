/*
 * A dirty log, as live migration and incremental checkpoints need one: which pages were written in each round?
 *
 * Before a round the pages that the last one dirtied are write-protected again, in as few calls as they have gaps.
 * The first write to a page stops at the handler, which logs the page and lifts the protection; later writes of the
 * round run at full speed. Two threads write, on pages that overlap; reading never dirties.
 *
 * A message can be stale: two writers stop at one page, the answer to the first lets both go. So a round is over only
 * when the handler has answered all it read; else a stale message would lift the protection of the next round.
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE
#include "uffd.h"

#define PAGES 48
#define ROUNDS 5
#define WRITERS 2
#define PASSES 3 /* over the pages of the round: only the first may fault */

static size_t page_size;
static unsigned char *memory;
static int uffd;
static int round_over; /* an eventfd: the writers are done, answer what is left and pass `answered` */
static pthread_barrier_t begin, end, answered; /* of a round; they also order the handler's log before the report */
static int dirty[PAGES]; /* written by the handler, read between rounds */
static int faults[PAGES]; /* messages a page caused in this round */

/* Does this writer touch the page in this round? The whole pattern of the program. */
static int writes(int writer, int round, size_t page)
{
	switch (round) {
	case 0: return 1; /* everything */
	case 1: return page % 6 == (size_t)writer * 2; /* every sixth, offset by writer */
	case 2: return page >= 8 + (size_t)writer * 4 && page < 20 + (size_t)writer * 4; /* two windows that overlap */
	case 3: return 0; /* reads only */
	default: return page == 0 || page == PAGES - 1 || (page == 21 && writer == 1);
	}
}

static void *writer(void *arg)
{
	int me = (intptr_t)arg;

	for (int round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&begin);
		for (int pass = 0; pass < PASSES; pass++)
			for (size_t page = 0; page < PAGES; page++) {
				/* Each writer has a byte of its own in every page. */
				volatile unsigned char *mine = memory + page * page_size + me;
				if (writes(me, round, page))
					*mine = *mine + 1;
				else
					(void)*mine;
			}
		pthread_barrier_wait(&end);
	}
	return NULL;
}

static void answer(const struct uffd_msg *msg)
{
	size_t page = (msg->arg.pagefault.address - (uintptr_t)memory) / page_size;

	if (msg->event != UFFD_EVENT_PAGEFAULT || page >= PAGES)
		wrong("a message that is no fault of the memory", msg->event);
	if (!(msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP))
		wrong("a fault that is not about write protection", page);
	dirty[page] = 1; /* log first, then let the writer go */
	faults[page]++;
	uffd_protect(uffd, memory + page * page_size, page_size, 0);
}

static void *handler(void *unused)
{
	struct uffd_msg msgs[2];

	for (int round = 0; round < ROUNDS; round++) {
		while (uffd_wait(uffd, round_over)) {
			int n = uffd_read(uffd, msgs, 2);
			for (int i = 0; i < n; i++)
				answer(&msgs[i]);
		}
		bell_silence(round_over);
		pthread_barrier_wait(&answered);
	}
	return unused;
}

/* Calls `run(from, to)` for each maximal run of dirty pages; returns how many there are. */
static int each_run(void (*run)(size_t from, size_t to))
{
	int runs = 0;
	for (size_t from = 0, to; from < PAGES; from = to + 1) {
		for (to = from; to < PAGES && dirty[to]; to++)
			;
		if (to > from) {
			run(from, to);
			runs++;
		}
	}
	return runs;
}

static void protect_run(size_t from, size_t to)
{
	uffd_protect(uffd, memory + from * page_size, (to - from) * page_size, 1);
}

static void print_run(size_t from, size_t to)
{
	if (to - from == 1)
		printf(" %zu", from);
	else
		printf(" %zu-%zu", from, to - 1);
}

/* Prints the round's dirty set and compares it with what the writers were told to do. */
static void report(int round)
{
	int count = 0;

	printf("  round %d:", round);
	if (!each_run(print_run))
		printf(" none");
	for (size_t page = 0; page < PAGES; page++) {
		int meant = writes(0, round, page) || writes(1, round, page);
		count += dirty[page];
		if (dirty[page] != meant)
			wrong(meant ? "a write was not logged" : "a page was logged that nobody wrote", page);
		if (faults[page] > WRITERS)
			wrong("a page faulted again after its protection was lifted", page);
	}
	printf(" (%d of %d pages)\n", count, PAGES);
}

int main(void)
{
	pthread_t writers[WRITERS], logger;

	page_size = sysconf(_SC_PAGESIZE);
	memory = map_pages(PAGES * page_size);
	memset(memory, 0, PAGES * page_size);
	for (size_t page = 0; page < PAGES; page++) {
		memory[page * page_size + WRITERS] = page; /* populated: before Linux 6.4 only such pages can be protected */
		dirty[page] = 1; /* so the first round protects everything */
	}
	pthread_barrier_init(&begin, NULL, WRITERS + 1);
	pthread_barrier_init(&end, NULL, WRITERS + 1);
	pthread_barrier_init(&answered, NULL, 2);
	round_over = bell_new();
	uffd = uffd_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	uffd_register(uffd, memory, PAGES * page_size, UFFDIO_REGISTER_MODE_WP, 1ull << _UFFDIO_WRITEPROTECT);
	logger = start_thread(handler, NULL);
	for (intptr_t i = 0; i < WRITERS; i++)
		writers[i] = start_thread(writer, (void *)i);

	printf("wp-dirty-log: %d pages, %d writers, %d rounds\n", PAGES, WRITERS, ROUNDS);
	for (int round = 0; round < ROUNDS; round++) {
		each_run(protect_run);
		memset(dirty, 0, sizeof dirty);
		memset(faults, 0, sizeof faults);
		pthread_barrier_wait(&begin);
		pthread_barrier_wait(&end);
		bell_ring(round_over);
		pthread_barrier_wait(&answered);
		report(round);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	pthread_join(logger, NULL);
	uffd_unregister(uffd, memory, PAGES * page_size);
	close(uffd);

	for (size_t page = 0; page < PAGES; page++)
		for (int w = 0; w < WRITERS; w++) {
			int sum = 0;
			for (int round = 0; round < ROUNDS; round++)
				sum += PASSES * writes(w, round, page);
			if (memory[page * page_size + w] != sum)
				wrong("a write was lost", page);
		}
	printf("wp-dirty-log: ok\n");
	return 0;
}
