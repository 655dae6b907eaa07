/* Operations on files. */
#include "executor.h"
#include <sys/stat.h>

static int files[FILES] = {-1, -1};
/* Set once a program has had a file: then every state says something of each. */
static int had_files;

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

int with_file(const struct op *o) {
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
void say_files(void) {
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
