import { expect, test } from 'vitest';
import { discover } from './discover.ts';
import { type Layout, type Loop, layOut } from './layout.ts';

const NOP = 0x13;
const RET = 0x8067;
const ECALL = 0x73;

/** bne x1, x2, to */
function branch(from: number, to: number): number {
  const offset = to - from;
  const low = (((offset >> 1) & 15) << 8) | (((offset >> 11) & 1) << 7);
  const high = (((offset >> 12) & 1) << 31) | (((offset >> 5) & 63) << 25);
  return (0x00209063 | low | high) >>> 0;
}

function page(words: readonly number[], start = 0): DataView {
  const view = new DataView(new ArrayBuffer(4096));
  words.forEach((word, n) => {
    view.setUint32(start + 4 * n, word, true);
  });
  return view;
}

/** The nesting as text: blocks by their offset, loops in brackets. */
function draw(layout: Layout, loop: Loop = layout.top): string {
  const items = loop.items.map((item) =>
    typeof item === 'number' ? String(layout.blocks[item]?.start) : `[${draw(layout, item)}]`,
  );
  return items.join(' ');
}

test('a loop in a loop nests', () => {
  const code = page([NOP, NOP, branch(8, 4), branch(12, 0), RET]);
  const layout = layOut(discover(code, [0]));
  expect(draw(layout)).toBe('[0 [4] 12] 16');
});

test('loops that overlap without nesting are merged around both', () => {
  const code = page([NOP, NOP, branch(8, 0), branch(12, 4), RET]);
  expect(draw(layOut(discover(code, [0])))).toBe('[0 [4 12]] 16');
});

test('a jump into the middle of a loop makes its target an entry', () => {
  const code = page([branch(0, 12), NOP, NOP, NOP, branch(16, 4), RET]);
  const layout = layOut(discover(code, [0]));
  expect(draw(layout)).toBe('0 [4 12] 20');
  expect(layout.entries.map((block) => layout.blocks[block]?.start)).toEqual([0, 4, 12]);
});

test('every path between two checks is counted whole', () => {
  const code = page([branch(0, 12), NOP, NOP, NOP, RET]);
  const layout = layOut(discover(code, [0]));
  expect(layout.reach[0]).toBe(5);
});

test('a long straight line gets checks of its own, between blocks', () => {
  const words: number[] = [];
  for (let n = 0; n < 600; n += 10) {
    for (let k = 0; k < 9; k++) words.push(NOP);
    words.push(branch(4 * words.length, 2400));
  }
  const layout = layOut(discover(page([...words, RET]), [0]));
  expect(layout.entries.length).toBeGreaterThan(2);
  expect(Math.max(...layout.reach)).toBeLessThanOrEqual(256);
});

test('what the interpreter has to execute ends a block and is not in it', () => {
  const region = discover(page([NOP, ECALL, NOP, RET]), [0]);
  expect(region.blocks.map((block) => [block.start, block.insns.length, block.ending])).toEqual([
    [0, 1, 'stop'],
    [8, 2, 'indirect'],
  ]);
  expect([...region.entries].sort((a, b) => a - b)).toEqual([0, 8]);
});

test('an instruction over the end of the page is left to the interpreter', () => {
  const code = page([NOP], 4090);
  code.setUint16(4094, NOP, true); // the first half of four bytes
  expect(discover(code, [4094]).blocks).toEqual([]);
  const [block] = discover(code, [4090]).blocks;
  expect([block?.insns.length, block?.ending, block?.next]).toEqual([1, 'fall', 4094]);
});
