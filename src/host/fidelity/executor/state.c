/* What can be seen of a process besides results. */
#include "executor.h"

int smaps_fd, pagemap_fd;

/* The arena's mappings out of smaps: "0-3 rss 1 rd wr mr mw me ac;" in pages. */
static void say_mappings(void) {
  static char text[1 << 18];
  size_t n = 0;
  ssize_t got;
  lseek(smaps_fd, 0, SEEK_SET);
  while ((got = read(smaps_fd, text + n, sizeof text - 1 - n)) > 0) n += got;
  text[n] = 0;
  say("V");
  long start = 0, end = 0, rss = 0, huge = 0;
  for (char *line = text; *line != 0;) {
    char *newline = strchr(line, '\n');
    if (newline == NULL) break;
    *newline = 0;
    if (strncmp(line, "VmFlags:", 8) == 0) {
      if (end > ARENA - AROUND && start < ARENA + arena_pages * PAGE + AROUND) {
        say(" %ld-%ld rss %ld", (start - ARENA) / PAGE, (end - ARENA) / PAGE, rss / 4);
        if (huge > 0) say(" huge %ld", huge / 4);
        for (char *word = strtok(line + 8, " "); word != NULL; word = strtok(NULL, " "))
          say(" %s", word);
        say(";");
      }
    } else if (sscanf(line, "Rss: %ld", &rss) != 1 &&
               sscanf(line, "AnonHugePages: %ld", &huge) != 1) {
      long from, to;
      if (sscanf(line, "%lx-%lx ", &from, &to) == 2) start = from, end = to;
    }
    line = newline + 1;
  }
  say("\n");
}

/* The arena's pagemap as runs "count*word", without frame numbers and swap offsets. */
static void say_pagemap(void) {
  static uint64_t words[BIG_PAGES];
  ssize_t size = arena_pages * sizeof words[0];
  ssize_t got = pread(pagemap_fd, words, size, ARENA / PAGE * 8);
  if (got != size) _exit(98);
  say("P");
  for (int i = 0; i < arena_pages; i++) {
    int marker = words[i] >> 62 == 1 && (words[i] & 0x1f) == 0x1f;
    if (!marker) words[i] &= ~((1UL << 55) - 1);
  }
  for (int i = 0, run = 1; i < arena_pages; i += run, run = 1) {
    while (i + run < arena_pages && words[i + run] == words[i]) run++;
    say(" %d*%lx", run, (long)words[i]);
  }
  say("\n");
}

void say_process(void) {
  say_mappings();
  say_pagemap();
}

/* A hash of what every page that is there and may be read holds: reading those faults nowhere. */
void say_data(void) {
  int words_compared = arena_pages == PAGES ? 1024 : 16;
  say("F");
  for (int page = 0; page < arena_pages; page++) {
    uint64_t word = 0;
    if (pread(pagemap_fd, &word, 8, (ARENA / PAGE + page) * 8) != 8 || word >> 63 == 0) continue;
    volatile uint32_t hash = 0;
    volatile uint32_t *words = (uint32_t *)(ARENA + page * PAGE);
    if (!TRY) continue;
    for (int i = 0; i < words_compared; i++) hash = hash * 31 + words[i];
    say(" %d:%x", page, hash);
  }
  say("\n");
}

void open_proc(void) {
  smaps_fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
  pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (smaps_fd < 0 || pagemap_fd < 0) _exit(97);
}
