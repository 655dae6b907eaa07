/* A swap device of our own, on only while a program runs that asks for it: "swapon" anywhere in it. */
#include "executor.h"
#include <poll.h>
#include <sys/file.h>
#include <sys/swap.h>

#define DEVICE_BYTES (64L << 20)
/* So long somebody else may have a device on. */
#define OTHERS_MS 5000
#define CONTROL "/sys/class/zram-control/"
#define READ_AHEAD "/sys/kernel/mm/swap/vma_ra_enabled"
#define CLUSTER "/proc/sys/vm/page-cluster"

static int number = -1;
static char device[32], read_ahead[16], cluster[16];

static int put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = write(fd, text, strlen(text));
  close(fd);
  return n < 0 ? -1 : 0;
}

static int get(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = read(fd, text, size - 1);
  close(fd);
  text[n < 0 ? 0 : n] = 0;
  return n < 0 ? -1 : 0;
}

/* Whether somebody else on this machine has a swap device: then PAGEOUT does what it would not do without. */
static int others_swap(int swaps) {
  char text[256];
  ssize_t n = pread(swaps, text, sizeof text - 1, 0);
  text[n < 0 ? 0 : n] = 0;
  char *newline = strchr(text, '\n');
  return newline != NULL && newline[1] != 0;
}

/* /proc/swaps as it is while nobody swaps; waits a while for that. */
static int without_swap(void) {
  int swaps = open("/proc/swaps", O_RDONLY | O_CLOEXEC);
  for (int i = 0; others_swap(swaps) && i < OTHERS_MS / 20; i++) usleep(20000);
  return swaps;
}

/* Whether a device was on at any time since: the file tells. */
static int was_disturbed(int swaps) {
  struct pollfd p = {.fd = swaps, .events = POLLPRI};
  return others_swap(swaps) || poll(&p, 1, 0) > 0;
}

/* Several executors on one machine: those that swap run alone. */
static int alone_from(int operation) {
  static int folder = -1;
  if (folder < 0) {
    char path[256];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n < 0 ? 0 : n] = 0;
    char *slash = strrchr(path, '/');
    if (slash != NULL) *slash = 0;
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  return flock(folder, operation);
}

/* What mkswap(8) writes. */
static int format(void) {
  static unsigned char page[PAGE];
  uint32_t header[2] = {1, DEVICE_BYTES / PAGE - 1}; /* version, last page */
  memcpy(page + 1024, header, sizeof header);
  memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
  int fd = open(device, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = write(fd, page, PAGE);
  return close(fd) == 0 && n == PAGE ? 0 : -1;
}

static int make_device(void) {
  char text[64], path[64];
  if (number >= 0) return 0;
  if (get(CONTROL "hot_add", text, sizeof text) != 0) return -1;
  number = atoi(text);
  snprintf(device, sizeof device, "/dev/zram%d", number);
  snprintf(path, sizeof path, "/sys/block/zram%d/disksize", number);
  snprintf(text, sizeof text, "%ld", DEVICE_BYTES);
  if (put(path, text) != 0 || format() != 0) return -1;
  return 0;
}

static void give_back(void) {
  swapoff(device);
  if (read_ahead[0] != 0) put(READ_AHEAD, read_ahead);
  if (cluster[0] != 0) put(CLUSTER, cluster);
  read_ahead[0] = cluster[0] = 0;
}

static int swaps_fd = -1;

/* Before a program, which wants a device or none. Returns 0 or a negative errno. */
int begin_swap(int wanted) {
  alone_from(wanted ? LOCK_EX : LOCK_SH);
  if (!wanted) {
    swaps_fd = without_swap();
    return 0;
  }
  if (make_device() != 0) return errno == 0 ? -ENODEV : -errno;
  /* Which neighbours are read along depends on what was read before. */
  if (get(READ_AHEAD, read_ahead, sizeof read_ahead) == 0) put(READ_AHEAD, "0");
  if (get(CLUSTER, cluster, sizeof cluster) == 0) put(CLUSTER, "0");
  return swapon(device, SWAP_FLAG_PREFER | SWAP_FLAG_PRIO_MASK) == 0 ? 0 : -errno;
}

/* After it. Returns whether a device was there that was not wanted. */
int end_swap(int wanted) {
  int disturbed = 0;
  if (wanted) {
    give_back();
  } else {
    disturbed = was_disturbed(swaps_fd);
    close(swaps_fd);
  }
  alone_from(LOCK_UN);
  return disturbed;
}

/* At the end of everything. */
void remove_swap(void) {
  char text[16], path[64];
  if (number < 0) return;
  give_back();
  snprintf(path, sizeof path, "/sys/block/zram%d/reset", number);
  put(path, "1");
  snprintf(text, sizeof text, "%d", number);
  put(CONTROL "hot_remove", text);
  number = -1;
}
