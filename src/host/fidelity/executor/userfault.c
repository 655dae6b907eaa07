/* Operations on descriptors of userfaultfd(2). */
#include "executor.h"
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>

#define SLOTS 2
static int uffds[SLOTS] = {-1, -1};
/* Where ioctls find their struct and read(2) its buffer: in the arena, or (negative) in memory of our own. */
static long structs_at = -1;

static void say_place(long address) {
  long offset = address - ARENA;
  if (offset < 0 || offset > BIG_PAGES * PAGE) say(" " ELSEWHERE);
  else say(" +0x%lx", offset);
}

/* The descriptor of a child's context: kept in the second slot if that is free. */
static void keep_forked(int fd) {
  if (uffds[1] < 0) uffds[1] = fd;
  else close(fd);
}

static void message(const unsigned char *bytes) {
  uint64_t f[4];
  memcpy(f, bytes, 32);
  if (bytes[0] == UFFD_EVENT_PAGEFAULT) {
    pid_t thread = (pid_t)f[3];
    say(" [PAGEFAULT flags %lx +0x%lx%s]", (long)f[1], (long)f[2] - ARENA,
        thread == 0 ? "" : thread == helper_tid ? " by the helper" : " by another");
    return;
  }
  say(" [event %x", bytes[0]);
  if (bytes[0] == UFFD_EVENT_FORK) keep_forked((uint32_t)f[1]);
  else say_place(f[1]), say_place(f[2]);
  if (bytes[0] == UFFD_EVENT_REMAP) say(" %ld", (long)f[3]);
  say("]");
}

/* From /dev/userfaultfd, where there is one. */
static int from_device(long flags) {
  int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (device < 0) return syscall(SYS_userfaultfd, flags);
  int fd = ioctl(device, 0xaa00UL, flags); /* USERFAULTFD_IOC_NEW */
  int error = errno;
  close(device);
  errno = error;
  return fd;
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

/* Copies words until one faults. */
static void copy_words(volatile uint32_t *to, const volatile uint32_t *from, int words, int *done) {
  if (!TRY) return;
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

int userfault(const struct op *o) {
  const long *a = o->arg;
  uint64_t start = (uint64_t)place(a[1]);
  uint64_t range[5] = {start, a[2], a[3], 7777, 0};
  uint64_t copy[5] = {start, (uint64_t)place(a[2]), a[3], a[4], 7777};
  uint64_t api[3] = {a[2], a[1], 7777};
  if (IS("uffd") || IS("devuffd")) {
    int fd = IS("uffd") ? (int)syscall(SYS_userfaultfd, a[1]) : from_device(a[1]);
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
