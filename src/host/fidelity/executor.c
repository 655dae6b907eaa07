/*
 * Performs programs of memory operations on the kernel that runs, each in a fresh process, and prints what came of
 * every operation: the live half of `npm run fidelity`. The other half is model.ts; both print the same lines.
 *
 * Input:  "program", one operation a line ("mprotect 12288 4096 1": words as in operations.ts), "end".
 * Output: "program"; for each operation "= result", then "V mappings" and "P pagemap" of the process that performed
 *         it; at last "F data" and "V", "P" of every process still there; "end", or "died STATUS".
 * Addresses are byte offsets from ARENA on both sides of the pipe.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define PAGES 48
/* The arena lies across the border of two page-table pages: 24 pages on either side. */
#define ARENA (0x100000200000L - 24 * PAGE)
#define HEAP (ARENA + 40 * PAGE)
#define SOURCE_OFFSET 0x100000000L
#define SOURCE_PAGES 9
#define ELSEWHERE "elsewhere"
#define MAX_OPS 256
#define SLOTS 2
#define FILES 2

/* At the address that it has in the model too: structs that land in the arena hold it. */
#define SOURCE 0x600000001000L
static unsigned char *source;
#define OUT_BYTES (1 << 16)
/* Each thread speaks into a buffer of its own. */
static __thread char *out;
static __thread size_t out_len;

static struct op {
  char name[24];
  long arg[9];
} ops[MAX_OPS];
static int op_count;

static int uffds[SLOTS] = {-1, -1};
static int files[FILES] = {-1, -1};
/* Set once a program has had a file: then every state says something of each. */
static int had_files;
static int smaps_fd, pagemap_fd;
/* Two processes at most, which take turns. */
static int me, alive[2] = {1, 0};
static int turn[2][2];
static pid_t child;

static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t caught;
static __thread siginfo_t caught_info;

/* The helper thread: performs operations that may wait. What it said is in helper_out once its job is done. */
enum { IDLE, RUNS, DONE };
static int job = IDLE;
static const struct op *job_op;
static char *helper_out;
static int helper_stat = -1;

#define IS(word) (strcmp(o->name, word) == 0)

static void flush(void) {
  for (size_t done = 0; done < out_len;) {
    ssize_t n = write(1, out + done, out_len - done);
    if (n <= 0) _exit(99);
    done += n;
  }
  out_len = 0;
}

#define say(...) (out_len += snprintf(out + out_len, OUT_BYTES - out_len, __VA_ARGS__))

static void on_signal(int signo, siginfo_t *info, void *context) {
  (void)context;
  caught = signo;
  caught_info = *info;
  siglongjmp(back, 1);
}

static void *place(long offset) {
  if (offset >= SOURCE_OFFSET) return source + (offset - SOURCE_OFFSET);
  return (void *)(ARENA + offset);
}

static void say_number(long result) { say("= %ld\n", result < 0 ? (long)-errno : result); }

/* An address as a result; what came to lie outside the arena is unmapped again. */
static void say_address(void *address, long size) {
  long offset = (long)address - ARENA;
  if (address == MAP_FAILED) {
    say("= %d\n", -errno);
  } else if (offset < 0 || offset >= PAGES * PAGE) {
    munmap(address, size);
    say("= " ELSEWHERE "\n");
  } else {
    say("= +0x%lx\n", offset);
  }
}

static void say_signal(void) {
  long offset = (long)caught_info.si_addr - ARENA;
  say("= %s %d +0x%lx\n", caught == SIGSEGV ? "SEGV" : "BUS", caught_info.si_code, offset);
}

static void load(long offset) {
  if (sigsetjmp(back, 0) == 0) {
    unsigned value = *(volatile unsigned *)place(offset);
    say("= 0x%x\n", value);
  } else {
    say_signal();
  }
}

static void store(long offset, long word) {
  if (sigsetjmp(back, 0) == 0) {
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

static void message(const unsigned char *bytes) {
  uint64_t f[4];
  memcpy(f, bytes, 32);
  if (bytes[0] == UFFD_EVENT_PAGEFAULT)
    say(" [PAGEFAULT flags %lx +0x%lx]", (long)f[1], (long)f[2] - ARENA);
  else if (bytes[0] == UFFD_EVENT_REMAP) {
    long to = (long)f[2] - ARENA;
    say(" [event %x +0x%lx ", bytes[0], (long)f[1] - ARENA);
    if (to < 0 || to >= PAGES * PAGE) say(ELSEWHERE " %ld]", (long)f[3]);
    else say("+0x%lx %ld]", to, (long)f[3]);
  } else
    say(" [event %x]", bytes[0]);
}

static void read_into_arena(int fd, long size, long offset) {
  ssize_t n = read(fd, place(offset), size);
  say("= %ld\n", n < 0 ? (long)-errno : (long)n);
}

static void say_fdinfo(int fd) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  int info = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = info < 0 ? 0 : read(info, text, sizeof text - 1);
  if (info >= 0) close(info);
  text[n] = 0;
  char *pending = strstr(text, "pending:");
  say("=");
  for (char *word = strtok(pending == NULL ? text + n : pending, "\t\n"); word != NULL;
       word = strtok(NULL, "\t\n"))
    say(" %s", word);
  say("\n");
}

static void read_messages(int fd, long size) {
  static unsigned char bytes[PAGE];
  ssize_t n = read(fd, bytes, size);
  say("= %ld", n < 0 ? (long)-errno : (long)n);
  for (ssize_t at = 0; at + 32 <= n; at += 32) message(bytes + at);
  say("\n");
}

static void poll_fd(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
  int n = poll(&p, 1, 0);
  if (n < 0) say_number(n);
  else say("= %d %x\n", n, p.revents);
}

static void close_fd(long slot) {
  say_number(close(uffds[slot]));
  uffds[slot] = -1;
}

/* Where ioctls find their struct and read(2) its buffer: in the arena, or (negative) in memory of our own. */
static long structs_at = -1;

/* Copies words until one faults. */
static void copy_words(volatile uint32_t *to, const volatile uint32_t *from, int words, int *done) {
  if (sigsetjmp(back, 0) != 0) return;
  for (*done = 0; *done < words; ++*done) to[*done] = from[*done];
}

/* The same on a struct in the arena, which may not be all there to write or to read. */
static void uffdio_in_arena(long slot, unsigned long command, int fields, int first_out,
                            uint64_t *field) {
  static int done;
  uint32_t *arena = place(structs_at);
  copy_words(arena, (uint32_t *)field, 2 * fields, &done);
  int result = ioctl(uffds[slot], command, arena);
  say("= %d", result < 0 ? -errno : result);
  copy_words((uint32_t *)field, arena, 2 * fields, &done);
  for (int i = first_out; i < fields; i++)
    if (2 * i + 1 < done) say(" %ld", (long)field[i]);
    else say(" ?");
  say("\n");
}

/* An ioctl on a struct of 64-bit fields; says the result and the fields from `first_out` on. */
static void uffdio(long slot, unsigned long command, int fields, int first_out, uint64_t *field) {
  if (structs_at >= 0) {
    uffdio_in_arena(slot, command, fields, first_out, field);
    return;
  }
  int result = ioctl(uffds[slot], command, field);
  say("= %d", result < 0 ? -errno : result);
  for (int i = first_out; i < fields; i++) say(" %ld", (long)field[i]);
  say("\n");
}

static int userfault(const struct op *o) {
  const long *a = o->arg;
  uint64_t start = (uint64_t)place(a[1]);
  uint64_t range[5] = {start, a[2], a[3], 7777, 0};
  uint64_t copy[5] = {start, (uint64_t)place(a[2]), a[3], a[4], 7777};
  uint64_t api[3] = {a[2], a[1], 7777};
  if (IS("uffd")) {
    int fd = syscall(SYS_userfaultfd, a[1]);
    say("= %d\n", fd < 0 ? -errno : 0);
    if (fd >= 0 && uffds[a[0]] >= 0) close(uffds[a[0]]);
    if (fd >= 0) uffds[a[0]] = fd;
  } else if (IS("api")) uffdio(a[0], UFFDIO_API, 3, 0, api);
  else if (IS("register")) uffdio(a[0], UFFDIO_REGISTER, 4, 3, range);
  else if (IS("unregister")) uffdio(a[0], UFFDIO_UNREGISTER, 2, 2, range);
  else if (IS("wake")) uffdio(a[0], UFFDIO_WAKE, 2, 2, range);
  else if (IS("copy")) uffdio(a[0], UFFDIO_COPY, 5, 4, copy);
  else if (IS("move")) uffdio(a[0], _IOWR(UFFDIO, 5, uint64_t[5]), 5, 4, copy);
  else if (IS("zeropage")) uffdio(a[0], UFFDIO_ZEROPAGE, 4, 3, range);
  else if (IS("continue")) uffdio(a[0], UFFDIO_CONTINUE, 4, 3, range);
  else if (IS("poison")) uffdio(a[0], _IOWR(UFFDIO, 8, uint64_t[4]), 4, 3, range);
  else if (IS("writeprotect")) uffdio(a[0], UFFDIO_WRITEPROTECT, 3, 3, range);
  else if (IS("structs")) {
    structs_at = a[0];
    say("= 0\n");
  } else if (IS("fdinfo")) say_fdinfo(uffds[a[0]]);
  else if (IS("read") && structs_at >= 0) read_into_arena(uffds[a[0]], a[1], structs_at);
  else if (IS("read")) read_messages(uffds[a[0]], a[1]);
  else if (IS("poll")) poll_fd(uffds[a[0]]);
  else if (IS("close")) close_fd(a[0]);
  else return 0;
  return 1;
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
  unsigned char vec[2 * PAGES] = {0};
  int result = mincore(start, size, vec);
  say("= %d ", result < 0 ? -errno : result);
  for (int i = 0; i < PAGES; i++) say("%d", vec[i]);
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

static void make_file(const long *a) {
  int fd = syscall(SYS_memfd_create, "file", a[1]);
  say("= %d\n", fd < 0 ? -errno : 0);
  if (fd < 0) return;
  if (files[a[0]] >= 0) close(files[a[0]]);
  files[a[0]] = fd;
  had_files = 1;
}

/* Into memory of our own, of which a hash is said, or into the arena. */
static void read_file(const long *a) {
  static uint32_t words[4096];
  memset(words, 0, sizeof words);
  int own = a[3] >= SOURCE_OFFSET;
  ssize_t n = pread(files[a[0]], own ? (void *)words : place(a[3]), a[2], a[1]);
  say("= %ld", n < 0 ? (long)-errno : (long)n);
  if (own) {
    uint32_t hash = 0;
    for (int i = 0; i < 4096; i++) hash = hash * 31 + words[i];
    say(" %x", hash);
  }
  say("\n");
}

static int with_file(const struct op *o) {
  const long *a = o->arg;
  if (IS("memfd")) make_file(a);
  else if (IS("mapfile")) say_address(mmap(place(a[0]), a[1], a[2], a[3], files[a[4]], a[5]), a[1]);
  else if (IS("ftruncate")) say_number(ftruncate(files[a[0]], a[1]));
  else if (IS("fallocate")) say_number(fallocate(files[a[0]], a[1], a[2], a[3]));
  else if (IS("pread")) read_file(a);
  else if (IS("pwrite")) say_number(pwrite(files[a[0]], place(a[3]), a[2], a[1]));
  else if (IS("lseek")) say_number(lseek(files[a[0]], a[1], a[2]));
  else if (IS("seal")) say_number(fcntl(files[a[0]], F_ADD_SEALS, a[1]));
  else if (IS("closefile")) {
    say_number(close(files[a[0]]));
    files[a[0]] = -1;
  } else return 0;
  return 1;
}

/* Size in bytes, pages and seals of every file. */
static void say_files(void) {
  if (!had_files) return;
  say("D");
  for (int i = 0; i < FILES; i++) {
    struct stat s;
    if (files[i] < 0 || fstat(files[i], &s) != 0) continue;
    say(" %d: size %ld pages %ld seals %x", i, (long)s.st_size, (long)s.st_blocks / 8,
        fcntl(files[i], F_GET_SEALS));
  }
  say("\n");
}

static void perform(const struct op *o) {
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
  else if (!with_file(o) && !userfault(o)) say("= unknown operation %s\n", o->name);
}

/* The arena's mappings out of smaps: "0-3 rss 1 rd wr mr mw me ac;" in pages. */
static void say_mappings(void) {
  static char text[1 << 18];
  size_t n = 0;
  ssize_t got;
  lseek(smaps_fd, 0, SEEK_SET);
  while ((got = read(smaps_fd, text + n, sizeof text - 1 - n)) > 0) n += got;
  text[n] = 0;
  say("V");
  long start = 0, end = 0, rss = 0;
  for (char *line = text; *line != 0;) {
    char *newline = strchr(line, '\n');
    if (newline == NULL) break;
    *newline = 0;
    if (strncmp(line, "VmFlags:", 8) == 0) {
      if (end > ARENA - PAGES * PAGE && start < ARENA + 2 * PAGES * PAGE) {
        say(" %ld-%ld rss %ld", (start - ARENA) / PAGE, (end - ARENA) / PAGE, rss / 4);
        for (char *word = strtok(line + 8, " "); word != NULL; word = strtok(NULL, " "))
          say(" %s", word);
        say(";");
      }
    } else if (sscanf(line, "Rss: %ld", &rss) != 1) {
      long from, to;
      if (sscanf(line, "%lx-%lx ", &from, &to) == 2) start = from, end = to;
    }
    line = newline + 1;
  }
  say("\n");
}

/* The arena's pagemap as runs "count*word", without frame numbers and swap offsets. */
static void say_pagemap(void) {
  uint64_t words[PAGES];
  ssize_t got = pread(pagemap_fd, words, sizeof words, ARENA / PAGE * 8);
  if (got != sizeof words) _exit(98);
  say("P");
  for (int i = 0; i < PAGES; i++) {
    int marker = words[i] >> 62 == 1 && (words[i] & 0x1f) == 0x1f;
    if (!marker) words[i] &= ~((1UL << 55) - 1);
  }
  for (int i = 0, run = 1; i < PAGES; i += run, run = 1) {
    while (i + run < PAGES && words[i + run] == words[i]) run++;
    say(" %d*%lx", run, (long)words[i]);
  }
  say("\n");
}

static void *helper_main(void *unused) {
  static char buffer[OUT_BYTES];
  char path[64];
  (void)unused;
  out = helper_out = buffer;
  snprintf(path, sizeof path, "/proc/self/task/%ld/stat", syscall(SYS_gettid));
  helper_stat = open(path, O_RDONLY | O_CLOEXEC);
  __atomic_store_n(&job, IDLE, __ATOMIC_SEQ_CST);
  for (;;) {
    int now = __atomic_load_n(&job, __ATOMIC_SEQ_CST);
    if (now != RUNS) {
      syscall(SYS_futex, &job, FUTEX_WAIT, now, NULL, NULL, 0);
      continue;
    }
    out_len = 0;
    perform(job_op);
    __atomic_store_n(&job, DONE, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

static char helper_state(void) {
  char text[512];
  ssize_t n = pread(helper_stat, text, sizeof text - 1, 0);
  if (n <= 0) return '?';
  text[n] = 0;
  return strrchr(text, ')')[2];
}

/* Until the helper has done its job or sleeps in the middle of it. Who wakes it makes it runnable at once. */
static void settle(void) {
  for (int asleep = 0; __atomic_load_n(&job, __ATOMIC_SEQ_CST) == RUNS && asleep < 3;) {
    char state = helper_state();
    asleep = state == 'S' || state == 'D' ? asleep + 1 : 0;
    sched_yield();
  }
}

static void start_helper(void) {
  pthread_t thread;
  job = RUNS;
  if (pthread_create(&thread, NULL, helper_main, NULL) != 0) _exit(91);
  while (__atomic_load_n(&job, __ATOMIC_SEQ_CST) != IDLE) sched_yield();
}

/* "~store 0 1": the helper performs it. */
static void hand_over(const struct op *o) {
  static struct op copy;
  if (me != 0 || job == RUNS) {
    say("= busy\n");
    return;
  }
  copy = *o;
  memmove(copy.name, copy.name + 1, sizeof copy.name - 1);
  job_op = &copy;
  __atomic_store_n(&job, RUNS, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, &job, FUTEX_WAKE, 1, NULL, NULL, 0);
  say("= handed over\n");
}

/* What became of the helper's last job. */
static void say_helper(void) {
  if (me != 0 || helper_stat < 0) return;
  settle();
  if (job == DONE) say("H %s", helper_out + 2);
  else say("H %s\n", job == RUNS ? "waits" : "idle");
}

static void say_state(void) {
  say_helper();
  say_files();
  say_mappings();
  say_pagemap();
}

/* A hash of what every page that is there and may be read holds: reading those faults nowhere. */
static void say_data(void) {
  say_helper();
  say("F");
  for (int page = 0; page < PAGES; page++) {
    uint64_t word = 0;
    if (pread(pagemap_fd, &word, 8, (ARENA / PAGE + page) * 8) != 8 || word >> 63 == 0) continue;
    volatile uint32_t hash = 0;
    volatile uint32_t *words = (uint32_t *)(ARENA + page * PAGE);
    if (sigsetjmp(back, 0) != 0) continue;
    for (int i = 0; i < 1024; i++) hash = hash * 31 + words[i];
    say(" %d:%x", page, hash);
  }
  say("\n");
}

static void open_proc(void) {
  smaps_fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
  pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (smaps_fd < 0 || pagemap_fd < 0) _exit(97);
}

static int await_turn(void) {
  int at;
  if (read(turn[me][0], &at, sizeof at) != sizeof at) _exit(96);
  return at;
}

static void give_turn(int to, int at) {
  flush();
  if (write(turn[to][1], &at, sizeof at) != sizeof at) _exit(95);
}

/* The child stays behind its parent until it is switched to. */
static int fork_here(int at) {
  if (me == 1 || alive[1]) {
    say("= busy\n");
    return at;
  }
  if (pipe(turn[0]) != 0 || pipe(turn[1]) != 0) _exit(94);
  flush();
  pid_t parent = getpid();
  child = fork();
  if (child < 0) {
    say_number(-1);
    return at;
  }
  alive[1] = 1;
  if (child > 0) {
    say("= 0\n");
    return at;
  }
  me = 1;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  close(smaps_fd);
  close(pagemap_fd);
  open_proc();
  return await_turn();
}

static void reap(void) {
  int status;
  waitpid(child, &status, 0);
  alive[1] = 0;
}

static int switch_to(int to, int at) {
  if (to == me || !alive[to & 1]) {
    say("= %s\n", to == me ? "here" : "nobody");
    return at;
  }
  say("= 0\n");
  give_turn(to, at);
  at = await_turn();
  if (me == 0 && at < 0) { /* the child ended */
    reap();
    at = -at;
  }
  return at;
}

/* An empty heap inside the arena. Libc's own is not used any more. The other addresses only name parts in maps. */
static void move_heap(void) {
  uint64_t stack = (uint64_t)__builtin_frame_address(0), code = (uint64_t)&ops;
  struct prctl_mm_map map = {
      .start_code = code, .end_code = code + 1, .start_data = code, .end_data = code + 1,
      .start_brk = HEAP, .brk = HEAP, .start_stack = stack, .arg_start = stack,
      .arg_end = stack, .env_start = stack, .env_end = stack, .exe_fd = (uint32_t)-1};
  if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) != 0) _exit(93);
}

/* Performs operations from the first on; forks and switches move the place where it goes on. */
static int perform_all(void) {
  int at = 0;
  for (; at < op_count; at++) {
    const struct op *o = &ops[at];
    if (IS("fork")) at = fork_here(at);
    else if (IS("switch")) at = switch_to(o->arg[0], at);
    else if (IS("exit") && me == 1) {
      say("= 0\n");
      give_turn(0, -at);
      _exit(0);
    } else if (IS("exit")) say("= alone\n");
    else if (o->name[0] == '~') hand_over(o);
    else perform(o);
    if (at < op_count) say_state();
    if (out_len > OUT_BYTES / 2) flush();
  }
  return at;
}

/* Whoever performed the last operation speaks first, then the other if it is still there. */
static void finish(int at) {
  say_data();
  say_state();
  flush();
  if (at > op_count) { /* the second */
    if (me == 1) give_turn(0, op_count);
  } else if (alive[1 - me]) {
    /* A child stays, since the pages it shares show in the parent's pagemap; it dies with its parent. */
    give_turn(1 - me, op_count);
    await_turn();
  }
  _exit(0);
}

static void run_program(void) {
  static char buffer[OUT_BYTES];
  out = buffer;
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  for (int at = 0; at < op_count && helper_stat < 0; at++)
    if (ops[at].name[0] == '~') start_helper();
  move_heap();
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
  alarm(5);
  open_proc();
  finish(perform_all());
}

static void start_program(void) {
  printf("program\n");
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) run_program();
  int status = 0;
  waitpid(pid, &status, 0);
  while (waitpid(-1, NULL, 0) > 0); /* its children: they die with it and are ours then */
  if (status == 0) printf("end\n");
  else printf("died %d\n", status);
  fflush(stdout);
}

int main(void) {
  char line[256];
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  source = mmap((void *)SOURCE, SOURCE_PAGES * PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (source != (unsigned char *)SOURCE) return 90;
  for (unsigned i = 0; i < SOURCE_PAGES * PAGE / 4; i++) ((unsigned *)source)[i] = 0xc0000000u + i;
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (strncmp(line, "program", 7) == 0) {
      op_count = 0;
    } else if (strncmp(line, "end", 3) == 0) {
      start_program();
    } else if (op_count < MAX_OPS) {
      struct op *o = &ops[op_count++];
      memset(o, 0, sizeof *o);
      long *a = o->arg;
      sscanf(line, "%23s %ld %ld %ld %ld %ld %ld %ld %ld %ld", o->name, a, a + 1, a + 2, a + 3,
             a + 4, a + 5, a + 6, a + 7, a + 8);
    }
  }
  return 0;
}
