/** A program of the operation language as a C program that stands alone and prints what each call gives. */
import { must } from '../../base/assert.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  ARENA,
  HEAP_PAGE,
  HELPER,
  type Operation,
  type Program,
  SOURCE_OFFSET,
} from './operations.ts';
import { STRUCTS } from './structs.ts';

const HEAD = `#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char *A = (char *)0x${ARENA.toString(16)}; /* page 24 begins a page-table page */
static unsigned source[9 * 1024] __attribute__((aligned(4096)));
static int uffd[2] = {-1, -1};
static int file[2] = {-1, -1};
static __thread sigjmp_buf back;
static char *structs; /* where ioctls find their struct when that is in the arena */

static void on_signal(int signo, siginfo_t *info, void *context) {
  (void)context;
  printf("  %s, si_code %d, at A+0x%lx\\n", signo == SIGSEGV ? "SIGSEGV" : "SIGBUS",
         info->si_code, (long)((char *)info->si_addr - A));
  siglongjmp(back, 1);
}

static void show(const char *call, long result) {
  if (result == -1) printf("%s = -1 (%s)\\n", call, strerror(errno));
  else printf("%s = 0x%lx\\n", call, result);
}

static int uffdio(int fd, unsigned long command, uint64_t *fields, int count) {
  if (structs == NULL) return ioctl(fd, command, fields);
  if (!sigsetjmp(back, 0)) memcpy(structs, fields, 8 * count);
  int result = ioctl(fd, command, structs);
  int error = errno;
  if (!sigsetjmp(back, 0)) memcpy(fields, structs, 8 * count);
  errno = error;
  return result;
}

/* What /proc/self/maps says of the arena, and pagemap where it says anything. */
static void state(void) {
  char line[512];
  FILE *maps = fopen("/proc/self/smaps", "r");
  int inside = 0;
  while (fgets(line, sizeof line, maps)) {
    unsigned long start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
      inside = start >= (unsigned long)A - 48 * 4096 && start < (unsigned long)A + 96 * 4096;
      if (inside) printf("  pages %ld-%ld", ((long)start - (long)A) / 4096, ((long)end - (long)A) / 4096);
    } else if (inside && strncmp(line, "VmFlags:", 8) == 0) printf("%s", line + 8);
  }
  fclose(maps);
  int fd = open("/proc/self/pagemap", O_RDONLY);
  for (long page = 0; page < 48; page++) {
    uint64_t word;
    if (pread(fd, &word, 8, ((long)A / 4096 + page) * 8) != 8) break;
    if (word != 0) printf("  page %ld: pagemap %02lx, low bits %lx\\n", page, (long)(word >> 56), (long)(word & 0xff));
  }
  close(fd);
}
`;
const MAIN = `
int main(void) {
  setbuf(stdout, NULL);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  for (unsigned i = 0; i < 9 * 1024; i++) source[i] = 0xc0000000u + i;
`;
const TAIL = `  state();
  return 0;
}
`;
/** The heap begins inside the arena, as the executor has it; libc must not use it any more. */
const HEAP = `  char *heap = A + ${HEAP_PAGE * PAGE_SIZE};
  struct prctl_mm_map map = {
      .start_code = (uint64_t)&uffd, .end_code = (uint64_t)&uffd + 1, .start_data = (uint64_t)&uffd,
      .end_data = (uint64_t)&uffd + 1, .start_brk = (uint64_t)heap, .brk = (uint64_t)heap,
      .start_stack = (uint64_t)&map, .arg_start = (uint64_t)&map, .arg_end = (uint64_t)&map,
      .env_start = (uint64_t)&map, .env_end = (uint64_t)&map, .exe_fd = (uint32_t)-1};
  prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
`;
/** Two processes take turns through these pipes. */
const PIPES = `  int turn[2][2], me = 0, waiting = 0;
  char token = 0;
  if (pipe(turn[0]) || pipe(turn[1])) return 1;
  (void)waiting;
`;

/** The text of a C file: \`gcc -static -no-pie -pthread\`, run as root. */
export function cProgram(program: Program): string {
  const forks = program.some(({ op }) => op === 'fork');
  const heap = program.some(({ op }) => op === 'brk');
  const body = forks ? turns(program) : program.map((op, i) => `  ${statement(op, i)}\n`).join('');
  const jobs = program.map((op, i) => (op.op.startsWith(HELPER) ? job(op, i) : '')).join('');
  return `${HEAD}${jobs}${MAIN}${heap ? HEAP : ''}${forks ? PIPES : ''}${body}${TAIL}`;
}

/** Operations of parent and child in turns: each process runs those that are its own. */
function turns(program: Program): string {
  let text = '';
  let [me, child] = [0, false];
  for (const [i, operation] of program.entries()) {
    const { op, args } = operation;
    if (op === 'fork' && !child) {
      text += '  if (fork() == 0) me = 1;\n';
      child = true;
    } else if (op === 'switch' && child && args[0] !== me) {
      const to = args[0] === 1 ? 1 : 0;
      text += `  if (me == ${me}) state(), write(turn[${to}][1], &token, 1); /* switch */\n`;
      text += `  if (me == ${to}) read(turn[${to}][0], &token, 1);\n`;
      me = to;
    } else if (op === 'exit' && me === 1) {
      text += '  if (me == 1) state(), _exit(0);\n  if (me == 0) wait(NULL);\n';
      [me, child] = [0, false];
    } else if (op !== 'fork' && op !== 'switch' && op !== 'exit') {
      text += child
        ? `  if (me == ${me}) { ${statement(operation, i)} }\n`
        : `  ${statement(operation, i)}\n`;
    }
  }
  if (child) {
    text += `  if (me == ${me}) { printf("process %d:\\n", me); state(); write(turn[${1 - me}][1], &token, 1); }\n`;
    text += `  if (me == ${me}) { if (me == 0) wait(NULL); return 0; }\n`;
    text += `  read(turn[${1 - me}][0], &token, 1);\n`;
  }
  return text;
}

/** What may wait, as the body of a thread. */
function job({ op, args }: Operation, i: number): string {
  const body = statement({ op: op.slice(HELPER.length), args }, i);
  return `static void *job${i}(void *unused) {\n  (void)unused;\n  ${body}\n  return NULL;\n}\n`;
}

function statement({ op, args }: Operation, i: number): string {
  if (op.startsWith(HELPER)) {
    return `{ pthread_t t; pthread_create(&t, NULL, job${i}, NULL); usleep(50000); }`;
  }
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = args;
  switch (op) {
    case 'mmap':
      return shown(op, `(long)mmap(${place(a)}, ${size(b)}, ${hex(c)}, ${hex(d)}, -1, 0)`);
    case 'mremap':
      return shown(
        op,
        `syscall(SYS_mremap, ${place(a)}, ${size(b)}, ${size(c)}, ${hex(d)}, ${place(e)})`,
      );
    case 'munmap':
      return shown(op, `munmap(${place(a)}, ${size(b)})`);
    case 'mprotect':
    case 'madvise':
      return shown(op, `${op}(${place(a)}, ${size(b)}, ${c})`);
    case 'mlock':
    case 'munlock':
      return shown(op, `${op}(${place(a)}, ${size(b)})`);
    case 'mlock2':
    case 'mseal':
      return shown(
        op,
        `syscall(${op === 'mseal' ? 462 : 'SYS_mlock2'}, ${place(a)}, ${size(b)}, ${c})`,
      );
    case 'msync':
      return shown(op, `msync(${place(a)}, ${size(b)}, ${c})`);
    case 'mlockall':
      return shown(op, `mlockall(${a})`);
    case 'munlockall':
      return shown(op, 'munlockall()');
    case 'mincore':
      return `{ unsigned char v[64] = {0}; show("mincore", mincore(${place(a)}, ${size(b)}, v)); for (int i = 0; i < 48; i++) printf("%d", v[i]); printf("\\n"); }`;
    case 'brk':
      return shown(op, `syscall(SYS_brk, ${place(a)})`);
    case 'load':
      return `printf("load page ${a / PAGE_SIZE}\\n"); if (!sigsetjmp(back, 0)) printf("  0x%x\\n", *(volatile unsigned *)(${place(a)}));`;
    case 'store':
      return `printf("store page ${a / PAGE_SIZE}\\n"); if (!sigsetjmp(back, 0)) *(volatile unsigned *)(${place(a)}) = ${b};`;
    case 'fork':
      return 'if (fork() == 0) for (;;) prctl(PR_SET_PDEATHSIG, SIGKILL), pause();';
    case 'thp':
      return 'prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);';
    case 'swapon':
      return '/* wants a swap device: run swapon(8) before */';
    case 'switch':
    case 'exit':
      return `/* ${op}: there is no child */`;
    case 'uffd':
      return `uffd[${a}] = syscall(SYS_userfaultfd, ${hex(b)}); show("userfaultfd", uffd[${a}]);`;
    case 'devuffd':
      return `uffd[${a}] = ioctl(open("/dev/userfaultfd", O_RDWR), 0xaa00, ${hex(b)}); show("USERFAULTFD_IOC_NEW", uffd[${a}]);`;
    case 'read':
      return `{ uint64_t b[512] = {0}; show("read", read(uffd[${a}], structs ? (void *)structs : b, ${b})); printf("  event %lx flags %lx at A+0x%lx\\n", (long)(b[0] & 0xff), (long)b[1], (long)b[2] - (long)A); }`;
    case 'poll':
      return `{ struct pollfd p = {uffd[${a}], POLLIN | POLLOUT, 0}; show("poll", poll(&p, 1, 0)); printf("  revents %x\\n", p.revents); }`;
    case 'fdinfo':
      return `{ char b[64]; sprintf(b, "/proc/self/fdinfo/%d", uffd[${a}]); FILE *f = fopen(b, "r"); while (f && fgets(b, 64, f)) printf("  %s", b); }`;
    case 'structs':
      return `structs = ${a < 0 ? 'NULL' : place(a)};`;
    case 'close':
      return shown(op, `close(uffd[${a}])`);
    default:
      return fileStatement({ op, args }) ?? ioctl(op, args);
  }
}

function fileStatement({ op, args }: Operation): string | null {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args;
  switch (op) {
    case 'process_madvise':
      return `{ struct iovec v[] = {{${place(a)}, ${size(b)}}, {${place(c)}, ${size(d)}}}; int self = syscall(434, getpid(), 0); show("process_madvise", syscall(440, self, v, 2L, ${e}L, 0L)); close(self); }`;
    case 'scan':
      return scanStatement(args);
    case 'memfd':
      return `show("memfd_create", file[${a}] = syscall(SYS_memfd_create, "file", ${hex(b)}));`;
    case 'mapfile':
      return shown(
        'mmap',
        `(long)mmap(${place(a)}, ${size(b)}, ${hex(c)}, ${hex(d)}, file[${e}], ${size(f)})`,
      );
    case 'ftruncate':
      return shown(op, `ftruncate(file[${a}], ${size(b)})`);
    case 'fallocate':
      return shown(op, `fallocate(file[${a}], ${hex(b)}, ${size(c)}, ${size(d)})`);
    case 'pread':
    case 'pwrite':
      return shown(op, `${op}(file[${a}], ${place(d)}, ${size(c)}, ${size(b)})`);
    case 'lseek':
      return shown(op, `lseek(file[${a}], ${size(b)}, ${c})`);
    case 'seal':
      return shown('fcntl(F_ADD_SEALS)', `fcntl(file[${a}], F_ADD_SEALS, ${hex(b)})`);
    case 'closefile':
      return shown('close', `close(file[${a}])`);
    default:
      return null;
  }
}

function scanStatement(args: readonly number[]): string {
  const [page = 0, bytes = 0, flags = 0, inv = 0, mask = 0, any = 0, ret = 0, vec = 0, max = 0] =
    args;
  const start = `(uint64_t)(${place(page)})`;
  const fields = `96, ${flags}, ${start}, ${start} + ${size(bytes)}, 0, (uint64_t)r, ${vec}, ${max}, ${inv}, ${mask}, ${any}, ${ret}`;
  return `{ uint64_t r[16][3] = {0}, f[12] = {${fields}}; int fd = open("/proc/self/pagemap", O_RDONLY); show("PAGEMAP_SCAN", ioctl(fd, 0xc0606610UL, f)); close(fd); printf("  walk_end A+0x%lx\\n", (long)f[4] - (long)A); for (int i = 0; i < 16 && r[i][1]; i++) printf("  A+0x%lx to A+0x%lx: %lx\\n", (long)r[i][0] - (long)A, (long)r[i][1] - (long)A, (long)r[i][2]); }`;
}

function ioctl(op: string, args: readonly number[]): string {
  const { command, name, fields, firstOut } = must(STRUCTS[op], op);
  const values = fields(args, (offset) => offset);
  const texts = values.map((value, i) => {
    const isPlace = op !== 'api' && (i === 0 || (i === 1 && (op === 'copy' || op === 'move')));
    return isPlace ? `(uint64_t)(${place(Number(value))})` : `${value}`;
  });
  const out =
    firstOut > 0 && firstOut < values.length
      ? ` printf("  out %ld\\n", (long)f[${firstOut}]);`
      : '';
  return `{ uint64_t f[] = {${texts.join(', ')}}; show("${name}", uffdio(uffd[${args[0] ?? 0}], 0x${command.toString(16)}, f, ${values.length}));${out} }`;
}

function shown(name: string, call: string): string {
  return `show("${name}", ${call});`;
}
function place(offset: number): string {
  if (offset >= SOURCE_OFFSET) return `(char *)source + ${size(offset - SOURCE_OFFSET)}`;
  return `A + ${size(offset)}`;
}
function size(bytes: number): string {
  if (bytes % PAGE_SIZE !== 0) return `0x${bytes.toString(16)}`;
  return Math.abs(bytes) < 1e9 ? `${bytes / PAGE_SIZE} * 4096L` : `0x${bytes.toString(16)}L`;
}
function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
