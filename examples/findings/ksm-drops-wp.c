/*
 * KSM forgets that a page is write-protected by userfaultfd: once a page has been merged with its twin, writing to it gives
 * no message. docs/findings.md tells the steps; litmus/ksm-vs-uffd-wp.flt shows every one of them.
 *
 *     cc -o ksm-drops-wp ksm-drops-wp.c && ./ksm-drops-wp        (root; a kernel with userfaultfd and CONFIG_KSM)
 *
 * Prints how many of eight protected pages are still protected after merging, and whether a write to one that is not was
 * heard of. Puts /sys/kernel/mm/ksm/run back to what it was.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGES = 8 };
static const uint64_t UFFD_WP = 1ull << 57;

static void die(const char *what) {
  perror(what);
  exit(2);
}

static long number(const char *path) {
  char text[32] = "";
  int fd = open(path, O_RDONLY);
  if (fd < 0 || read(fd, text, sizeof text - 1) < 0) die(path);
  close(fd);
  return atol(text);
}

static void run_ksm(long value) {
  char text[8];
  int fd = open("/sys/kernel/mm/ksm/run", O_WRONLY);
  int length = snprintf(text, sizeof text, "%ld", value);
  if (fd < 0 || write(fd, text, length) != length) die("/sys/kernel/mm/ksm/run");
  close(fd);
}

static int protected_pages(const char *area, size_t page) {
  int fd = open("/proc/self/pagemap", O_RDONLY), count = 0;
  for (int i = 0; i < PAGES; i++) {
    uint64_t word = 0;
    off_t at = (off_t)((uintptr_t)area / page + i) * sizeof word;
    if (pread(fd, &word, sizeof word, at) != sizeof word) die("/proc/self/pagemap");
    count += (word & UFFD_WP) != 0;
  }
  close(fd);
  return count;
}

int main(void) {
  size_t page = sysconf(_SC_PAGESIZE), length = PAGES * page;
  char *area = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) die("mmap");
  madvise(area, length, MADV_NOHUGEPAGE);
  memset(area, 7, length);

  int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (uffd < 0) die("userfaultfd");
  /* SIGBUS would do as well; without it a write that is heard of would wait for ever, so only a lost one is made. */
  struct uffdio_api api = {.api = UFFD_API};
  struct uffdio_register reg = {.range = {(uintptr_t)area, length}, .mode = UFFDIO_REGISTER_MODE_WP};
  struct uffdio_writeprotect wp = {.range = {(uintptr_t)area, length}, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
  if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg)) die("UFFDIO_REGISTER");
  if (ioctl(uffd, UFFDIO_WRITEPROTECT, &wp)) die("UFFDIO_WRITEPROTECT");
  printf("protected: %d of %d pages\n", protected_pages(area, page), PAGES);

  long before = number("/sys/kernel/mm/ksm/run");
  if (madvise(area, length, MADV_MERGEABLE)) die("MADV_MERGEABLE");
  long scans = number("/sys/kernel/mm/ksm/full_scans");
  run_ksm(1);
  while (number("/sys/kernel/mm/ksm/full_scans") < scans + 3) usleep(1000);
  int left = protected_pages(area, page);
  printf("after KSM has merged them: %d of %d\n", left, PAGES);

  if (left < PAGES) {
    /* The first page whose bit is gone: its write goes through at once. */
    int fd = open("/proc/self/pagemap", O_RDONLY);
    for (int i = 0; i < PAGES; i++) {
      uint64_t word = 0;
      if (pread(fd, &word, sizeof word, (off_t)((uintptr_t)area / page + i) * sizeof word) < 0) die("pagemap");
      if (word & UFFD_WP) continue;
      area[i * page] = 8;
      struct pollfd ready = {.fd = uffd, .events = POLLIN};
      printf("page %d was written; messages: %d\n", i, poll(&ready, 1, 0));
      break;
    }
  }
  run_ksm(before);
  return left < PAGES;
}
