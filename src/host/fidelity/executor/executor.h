/*
 * Performs programs of memory operations on the kernel that runs, each in a fresh process, and prints what came of
 * every operation: the live half of `npm run fidelity`. The other half is model.ts; both print the same lines.
 *
 * Input:  "program", one operation a line ("mprotect 12288 4096 1": words as in operations.ts), "end".
 * Output: "program"; for each operation "= result", then "V mappings" and "P pagemap" of the process that performed
 *         it; at last "F data" and "V", "P" of every process still there; then how it ended (watch.c): "end", "stops
 *         waits", "stops spins", "died STATUS" or "unfinished".
 * Addresses are byte offsets from ARENA on both sides of the pipe.
 */
#ifndef EXECUTOR_H
#define EXECUTOR_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096L
#define PAGES 48
/* With huge pages the arena goes on, over four of them and as much again behind. */
#define BIG_PAGES (PAGES + 4 * 512)
#define AROUND (PAGES * PAGE)
/* The arena lies across the border of two page-table pages: 24 pages on either side. */
#define ARENA (0x100000200000L - 24 * PAGE)
#define HEAP (ARENA + 40 * PAGE)
#define SOURCE_OFFSET 0x100000000L
#define SOURCE_PAGES 9
/* At the address that it has in the model too: structs that land in the arena hold it. */
#define SOURCE 0x600000001000L
#define ELSEWHERE "elsewhere"
#define MAX_OPS 256
#define FILES 2

struct op {
  char name[24];
  long arg[9];
};

/* What a thread says. */
struct text {
  size_t size;
  char bytes[1 << 18];
};

/* Seen by the processes of a program, which take turns, and by the one that watches them. */
struct shared {
  /* What "swapon" gives: 0, or why there is no device. */
  volatile int swap;
  /* Counts up whenever the program gets on. */
  volatile long progress;
  volatile pid_t pids[2];
  /* Set when some of what was said is out already. */
  volatile int flushed;
  struct text text;
};

extern struct op ops[MAX_OPS];
extern int op_count;
/* Of the arena of the program that runs. */
extern int arena_pages;
extern struct shared *shared;
extern unsigned char *source;
extern __thread struct text *out;
/* An access that may fault: `if (TRY) access; else say_signal();` */
extern __thread sigjmp_buf back;
#define TRY (sigsetjmp(back, 0) == 0)
extern pid_t helper_tid;
extern int smaps_fd, pagemap_fd;

#define IS(word) (strcmp(o->name, word) == 0)
#define say(...) \
  (out->size += snprintf(out->bytes + out->size, sizeof out->bytes - out->size, __VA_ARGS__))

static inline void *place(long offset) {
  if (offset >= SOURCE_OFFSET) return source + (offset - SOURCE_OFFSET);
  return (void *)(ARENA + offset);
}

/* watch.c */
void flush(void);
int asks_for(const char *name);
/* swap.c */
int begin_swap(int wanted);
int end_swap(int wanted);
void remove_swap(void);
/* program.c */
void run_program(void);
/* operations.c */
void catch_signals(void);
void perform(const struct op *o);
void say_number(long result);
void say_address(void *address, long size);
void say_signal(void);
/* files.c */
int with_file(const struct op *o);
void say_files(void);
/* userfault.c */
int userfault(const struct op *o);
/* state.c */
void open_proc(void);
void say_process(void);
void say_data(void);

#endif
