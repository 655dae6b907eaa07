/* A swap device of our own, on only while a program runs that asks for it: "swapon" anywhere in it. */
#include "executor.h"
#include <sys/swap.h>

#define DEVICE_BYTES (64L << 20)
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
int others_swap(void) {
  char text[256];
  if (get("/proc/swaps", text, sizeof text) != 0) return 0;
  char *newline = strchr(text, '\n');
  return newline != NULL && newline[1] != 0;
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
  /* Which neighbours are read along depends on what was read before. */
  if (get(READ_AHEAD, read_ahead, sizeof read_ahead) == 0) put(READ_AHEAD, "0");
  if (get(CLUSTER, cluster, sizeof cluster) == 0) put(CLUSTER, "0");
  return 0;
}

/* Returns 0 or a negative errno. */
int swap_on(void) {
  if (make_device() != 0) return errno == 0 ? -ENODEV : -errno;
  return swapon(device, SWAP_FLAG_PREFER | SWAP_FLAG_PRIO_MASK) == 0 ? 0 : -errno;
}

void swap_off(void) { swapoff(device); }

/* At the end of everything. */
void remove_swap(void) {
  char text[16], path[64];
  if (number < 0) return;
  swapoff(device);
  put(READ_AHEAD, read_ahead);
  put(CLUSTER, cluster);
  snprintf(path, sizeof path, "/sys/block/zram%d/reset", number);
  put(path, "1");
  snprintf(text, sizeof text, "%d", number);
  put(CONTROL "hot_remove", text);
  number = -1;
}
