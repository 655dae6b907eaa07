/** /proc/PID/mem and what else shows the memory of a process. Answers as 6.18.44 gives them. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileKit } from '../../../../test/kernel/file-kit.ts';
import { A, P } from '../../../../test/kernel/kit.ts';
import { O_CREAT, O_RDWR } from '../../../uapi/fcntl.ts';
import { MAP_PRIVATE, MAP_SHARED } from '../../../uapi/mman.ts';

let k: FileKit;
let mem: number;
beforeEach(() => {
  k = new FileKit();
  mem = Number(k.open('/proc/self/mem', O_RDWR));
});
afterEach(() => {
  expect(k.census()).toBeNull();
});

const peek = (page: number, count = 1, offset = 0): unknown =>
  k.read(mem, count, A + page * P + offset);
const poke = (page: number, value: number): unknown => k.write(mem, [value], A + page * P);

test('protection is no obstacle to reading, nor to writing private memory', () => {
  k.map(0, 1);
  k.store(0, 1);
  k.protect(0, 1, 0);
  expect([peek(0), poke(0, 2)]).toEqual([[1], 1]);
  k.protect(0, 1, 1);
  expect([k.load(0), k.slot(0)]).toEqual([2, 'present dirty young']);
});

test('what cannot be had is EIO, and what lies before it is read', () => {
  k.map(0, 2);
  k.unmap(1, 1);
  expect(peek(0, 16, P - 8)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  expect([peek(1, 4), poke(1, 1)]).toEqual(['EIO', 'EIO']);
  k.map(1, 2);
  k.advise(1, 1, 102);
  expect(peek(1)).toBe('EIO');
  const uffd = k.uffd();
  k.ioctl(uffd, 'REGISTER', { ...k.range(2, 1), mode: 1 });
  expect([peek(2), poke(2, 1)]).toEqual(['EIO', 'EIO']);
});

test('shared memory that may not be written is not written; a private mapping of the file gets its own copy', () => {
  const fd = Number(k.open('/tmp/f', O_RDWR | O_CREAT));
  k.call('ftruncate', fd, P);
  k.mapFile(fd, 0, 1, MAP_SHARED, 1);
  k.mapFile(fd, 1, 1, MAP_PRIVATE, 1);
  expect([poke(0, 5), poke(1, 6), k.load(0), k.load(1)]).toEqual(['EIO', 1, 0, 6]);
  k.mapFile(fd, 2, 1, MAP_SHARED, 3);
  expect([poke(2, 7), k.load(0)]).toEqual([1, 7]);
});

test('positions are addresses', () => {
  k.map(0, 1);
  k.store(0, 3);
  expect([k.call('lseek', mem, A, 0), k.call('lseek', mem, 0, 2)]).toEqual([A, 'EINVAL']);
  expect([k.call('read', mem, 0x600000000800, 2), k.call('lseek', mem, 0, 1)]).toEqual([2, A + 2]);
  expect(k.call('pread64', mem, 8, 1, A)).toBe('EFAULT');
});

test('the arguments are what the memory says they are', () => {
  k.map(0, 1);
  const mm = k.task.mmOrDie;
  [mm.argStart, mm.argEnd, mm.envStart, mm.envEnd] = [A, A + 4, A + 4, A + 6];
  for (const [i, letter] of [...'a\0b\0X\0'].entries()) k.store(0, letter.charCodeAt(0), i);
  expect([k.cat('/proc/1/cmdline'), k.cat('/proc/1/environ')]).toEqual(['a\0b\0', 'X\0']);
});
