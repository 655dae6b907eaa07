// Which writes to a file of figures set anything. 6.18.44: two writes of "1" through one descriptor, in both places.
import { expect, test } from 'vitest';
import { KernelWorld } from '../../../test/kernel-world.ts';
import { must } from '../../base/assert.ts';
import { O_RDWR } from '../../uapi/fcntl.ts';
import { asciiBytes, seqFile } from './bytes-file.ts';

test.each([
  ['/sys/kernel/mm/ksm/run', ['2', '1']],
  ['/proc/sys/vm/nr_hugepages', ['2']],
])('two writes to %s, one after the other, store %j', (path, stored) => {
  const k = new KernelWorld();
  const texts: string[] = [];
  const store = (text: string): number => texts.push(text) * 0;
  const file = seqFile(() => '', path, store, O_RDWR);
  const write = must(file.ops.write, 'write');
  for (const text of ['2', '1']) {
    expect(k.run(write(k.task, file, asciiBytes(text), null))).toBe(1);
  }
  expect(texts).toEqual(stored);
});
