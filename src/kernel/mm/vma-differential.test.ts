// Random sequences of mmap, munmap, mprotect, madvise, mremap and writes, with the answers of Linux 6.18 (x86-64):
// results, mappings and VmFlags after every call. test/oracle/vma-ops.c asks a live kernel for them again.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { drawFlags } from '../../../test/kernel-maps.ts';
import { KernelWorld } from '../../../test/kernel-world.ts';
import type { Steps } from '../../sched/op.ts';
import { MADV_POPULATE_WRITE, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE } from '../../uapi/mman.ts';
import { doMadvise } from './madvise.ts';
import type { Mm } from './mm-types.ts';
import { doMmap } from './mmap.ts';
import { doMprotect } from './mprotect.ts';
import { doMremap } from './mremap.ts';
import { doMunmap } from './munmap.ts';

const P = 4096;
const B = 0x200000000000;
const FIXED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
const RECORDED = new URL('../../../test/oracle/vma-ops.txt', import.meta.url);

function perform(mm: Mm, op: string, [page = 0, n = 0, x = 0, y = 0]: number[]): Steps<number> {
  const [address, length] = [B + page * P, n * P];
  switch (op) {
    case 'm':
      return doMmap(mm, { address, length, prot: x, flags: FIXED | y });
    case 'u':
      return doMunmap(mm, address, length);
    case 'p':
      return doMprotect(mm, address, length, x);
    case 'a':
      return doMadvise(mm, address, length, x);
    case 'w':
      return doMadvise(mm, address, P, MADV_POPULATE_WRITE);
    case 'e':
      return doMremap(mm, {
        address,
        oldLength: length,
        newLength: x * P,
        flags: 0,
        newAddress: 0,
      });
    default:
      throw new Error(`operation ${op}`);
  }
}

test('1,500 recorded calls on 6.18 have the same results and leave the same mappings here', () => {
  let k = new KernelWorld();
  let calls = 0;
  for (const line of readFileSync(RECORDED, 'utf8').trim().split('\n')) {
    if (line === 'r') {
      expect(k.wrong()).toBeNull();
      expect(k.leaked()).toBeNull();
      k = new KernelWorld();
      continue;
    }
    const [asked = ''] = line.split(' = ');
    const [op = '', ...numbers] = asked.split(' ');
    const result = k.run(perform(k.task.mmOrDie, op, numbers.map(Number)));
    const answer = `${asked} = ${Math.min(result, 0)} ${drawFlags(k.task, B)}`;
    expect(answer.trimEnd()).toBe(line);
    calls++;
  }
  expect(calls).toBe(1500);
});
