/* Operations on mappings and memory, and what is said of results. */
#include "executor.h"
#include <sys/ioctl.h>
#include <sys/uio.h>

__thread sigjmp_buf back;
static __thread volatile sig_atomic_t caught;
static __thread siginfo_t caught_info;

static void on_signal(int signo, siginfo_t *info, void *context) {
  (void)context;
  caught = signo;
  caught_info = *info;
  siglongjmp(back, 1);
}

void catch_signals(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
}

void say_number(long result) { say("= %ld\n", result < 0 ? (long)-errno : result); }

/* An address as a result; what came to lie outside the arena is unmapped again. */
void say_address(void *address, long size) {
  long offset = (long)address - ARENA;
  if (address == MAP_FAILED) {
    say("= %d\n", -errno);
  } else if (offset < 0 || offset >= BIG_PAGES * PAGE) {
    munmap(address, size);
    say("= " ELSEWHERE "\n");
  } else {
    say("= +0x%lx\n", offset);
  }
}

void say_signal(void) {
  long offset = (long)caught_info.si_addr - ARENA;
  say("= %s %d +0x%lx\n", caught == SIGSEGV ? "SEGV" : "BUS", caught_info.si_code, offset);
}

static void load(long offset) {
  if (TRY) {
    unsigned value = *(volatile unsigned *)place(offset);
    say("= 0x%x\n", value);
  } else {
    say_signal();
  }
}

static void store(long offset, long word) {
  if (TRY) {
    *(volatile unsigned *)place(offset) = word;
    say("= 0\n");
  } else {
    say_signal();
  }
}

static void heap_end(long offset) {
  long end = syscall(SYS_brk, ARENA + offset);
  say("= +0x%lx\n", end - ARENA);
}

/* In the helper: a child that shares the arena's pages and does nothing; it dies with us. */
static void fork_sleeper(void) {
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
    for (;;) pause();
  }
  say("= %d\n", pid < 0 ? -errno : 0);
}

/* One digit a page; the vector has room for what the arena has twice. */
static void resident(void *start, size_t size) {
  unsigned char vec[2 * BIG_PAGES] = {0};
  int result = mincore(start, size, vec);
  say("= %d ", result < 0 ? -errno : result);
  for (int i = 0; i < arena_pages; i++) say("%d", vec[i]);
  say("\n");
}

static void advise_twice(const long *a) {
  struct iovec ranges[2] = {{place(a[0]), a[1]}, {place(a[2]), a[3]}};
  int self = syscall(434, getpid(), 0); /* pidfd_open */
  long result = syscall(440, self, ranges, 2L, a[4], 0L);
  say_number(result);
  close(self);
}

/* PAGEMAP_SCAN: the result, where the walk ended, and what it found. */
static void scan(const long *a) {
  uint64_t found[16][3];
  uint64_t start = (uint64_t)place(a[0]);
  uint64_t ask[12] = {96, a[2], start, start + a[1], 7777, (uint64_t)found, a[7], a[8],
                      a[3], a[4], a[5], a[6]};
  int count = ioctl(pagemap_fd, 0xc0606610UL, ask);
  say("= %d", count < 0 ? -errno : count);
  if (ask[4] == 7777) say(" untouched");
  else say(" +0x%lx", (long)ask[4] - ARENA);
  for (int i = 0; i < count && i < 16; i++)
    say(" [+0x%lx +0x%lx %lx]", (long)found[i][0] - ARENA, (long)found[i][1] - ARENA,
        (long)found[i][2]);
  say("\n");
}

void perform(const struct op *o) {
  const long *a = o->arg;
  if (IS("mmap")) say_address(mmap(place(a[0]), a[1], a[2], a[3], -1, 0), a[1]);
  else if (IS("munmap")) say_number(munmap(place(a[0]), a[1]));
  else if (IS("mprotect")) say_number(mprotect(place(a[0]), a[1], a[2]));
  else if (IS("madvise")) say_number(madvise(place(a[0]), a[1], a[2]));
  else if (IS("mlock")) say_number(mlock(place(a[0]), a[1]));
  else if (IS("mlock2")) say_number(syscall(SYS_mlock2, place(a[0]), a[1], a[2]));
  else if (IS("munlock")) say_number(munlock(place(a[0]), a[1]));
  else if (IS("mlockall")) say_number(mlockall(a[0]));
  else if (IS("munlockall")) say_number(munlockall());
  else if (IS("mseal")) say_number(syscall(462, place(a[0]), a[1], a[2]));
  else if (IS("msync")) say_number(msync(place(a[0]), a[1], a[2]));
  else if (IS("mincore")) resident(place(a[0]), a[1]);
  else if (IS("mremap")) {
    void *moved = (void *)syscall(SYS_mremap, place(a[0]), a[1], a[2], a[3], place(a[4]));
    say_address(moved, a[2]);
  } else if (IS("brk")) heap_end(a[0]);
  else if (IS("fork")) fork_sleeper();
  else if (IS("load")) load(a[0]);
  else if (IS("store")) store(a[0], a[1]);
  else if (IS("process_madvise")) advise_twice(a);
  else if (IS("scan")) scan(a);
  else if (IS("thp")) say("= 0\n");
  else if (IS("swapon")) say("= %d\n", shared->swap);
  else if (!with_file(o) && !userfault(o)) say("= unknown operation %s\n", o->name);
}
