/*
 * UFFDIO_POISON can leave a faulting thread asleep for ever (Linux 6.18).
 *
 * A thread faults on an empty page registered for MISSING. It has looked at the page table, found nothing there, and is
 * about to put itself on the list of waiters. UFFDIO_POISON installs its marker and wakes the list, which is still
 * empty. The thread queues itself, looks once more whether it must wait, takes the marker for an empty slot, and sleeps.
 * Nobody will wake it: for the monitor the page is done.
 *
 * litmus/poison-wakes-too-early.flt shows every step of it. This program races the two until it happens:
 *
 *     gcc -O2 -pthread -o poison-lost-wakeup poison-lost-wakeup.c && ./poison-lost-wakeup [rounds]
 *
 * It needs userfaultfd(2): root, or vm.unprivileged_userfaultfd=1. Exit status 1 means that a thread was left asleep.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef UFFDIO_POISON
struct uffdio_poison {
  struct uffdio_range range;
  unsigned long long mode;
  long long updated;
};
#define UFFDIO_POISON _IOWR(0xAA, 0x08, struct uffdio_poison)
#endif

#define PAGE 4096ul

static volatile char *page;
static atomic_int go, done;
static __thread sigjmp_buf after;

static void on_bus(int sig) {
  (void)sig;
  siglongjmp(after, 1);
}

static void *reader(void *unused) {
  (void)unused;
  for (int round = 1;; round++) {
    while (atomic_load(&go) < round) ;
    if (sigsetjmp(after, 1) == 0) (void)*page;
    atomic_store(&done, round);
  }
  return NULL;
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 200000;
  signal(SIGBUS, on_bus);
  int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  struct uffdio_api api = {.api = UFFD_API};
  if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0) {
    perror("userfaultfd");
    return 2;
  }
  page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct uffdio_register reg = {.range = {(unsigned long)page, PAGE},
                                .mode = UFFDIO_REGISTER_MODE_MISSING};
  if (ioctl(fd, UFFDIO_REGISTER, &reg) != 0) {
    perror("UFFDIO_REGISTER");
    return 2;
  }
  pthread_t thread;
  pthread_create(&thread, NULL, reader, NULL);
  unsigned wait = 1;
  for (int round = 1; round <= rounds; round++) {
    madvise((void *)page, PAGE, MADV_DONTNEED);
    atomic_store(&go, round);
    wait = wait * 1103515245u + 12345u;
    for (volatile unsigned i = 0; i < (wait >> 16) % 3000; i++) ;
    struct uffdio_poison poison = {.range = {(unsigned long)page, PAGE}};
    if (ioctl(fd, UFFDIO_POISON, &poison) != 0) {
      perror("UFFDIO_POISON");
      return 2;
    }
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    while (atomic_load(&done) < round) {
      clock_gettime(CLOCK_MONOTONIC, &now);
      if (now.tv_sec - begin.tv_sec < 3) continue;
      printf("round %d: the page is poisoned, and the reader still sleeps seconds later\n", round);
      struct uffdio_range range = {(unsigned long)page, PAGE};
      ioctl(fd, UFFDIO_WAKE, &range);
      usleep(100000);
      printf("after UFFDIO_WAKE: %s\n", atomic_load(&done) == round ? "it got its SIGBUS" : "still asleep");
      return 1;
    }
  }
  printf("%d rounds: not seen\n", rounds);
  return 0;
}
