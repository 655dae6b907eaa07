/** Operands of what random programs do with files, PAGEMAP_SCAN and process_madvise(2). */
import { PAGE_SIZE } from '../../machine/geometry.ts';
import type { Operation } from './operations.ts';
import { SOURCE_OFFSET } from './operations.ts';

/** What the generator draws from. */
export interface Dice {
  below(n: number): number;
  chance(n: number): boolean;
  pick<T>(items: readonly T[]): T;
  /** Offset and length in bytes, among what is mapped. */
  range(): readonly [number, number];
  page(): number;
  advice(): number;
  prot(): number;
}

/** Pages that files have at most. */
const FILE_PAGES = 10;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const MAP_SHARED_VALIDATE = 3;
const MAP_FIXED = 0x10;
const MAP_LOCKED = 0x2000;
const MAP_POPULATE = 0x8000;
const MAP_NORESERVE = 0x4000;
const PUNCH_HOLE_KEEP_SIZE = 3;
const WRITTEN = 2;
const CATEGORIES = 0x1ff;

/** A file of a few pages and two mappings of it, shared or private. */
export function openingFile(dice: Dice, slot: number): Operation[] {
  return [
    { op: 'memfd', args: [slot, dice.pick([2, 2, 2, 0, 1, 8])] },
    { op: 'ftruncate', args: [slot, (1 + dice.below(FILE_PAGES)) * PAGE_SIZE] },
    mapFile(dice, slot),
    mapFile(dice, slot),
  ];
}

/** An operation on a file, or null when it is none of these. */
export function drawFile(op: string, dice: Dice): Operation | null {
  const slot = dice.chance(6) ? 1 : 0;
  switch (op) {
    case 'process_madvise':
      return { op, args: [...whole(dice), ...whole(dice), dice.advice()] };
    case 'scan':
      return drawScan(dice);
    case 'memfd':
      return { op, args: [slot, dice.pick([2, 2, 0, 1, 8, 24, 32])] };
    case 'mapfile':
      return mapFile(dice, slot);
    case 'ftruncate':
      return { op, args: [slot, dice.chance(20) ? -1 : bytes(dice)] };
    case 'fallocate': {
      const mode = dice.pick([3, 3, 3, 3, 0, 0, 1, 1, 2, 8, 16]);
      const length = mode === PUNCH_HOLE_KEEP_SIZE ? bytes(dice) : Math.min(bytes(dice), 16384);
      return { op, args: [slot, mode, bytes(dice), length] };
    }
    case 'pread':
    case 'pwrite': {
      const own = !dice.chance(3);
      const where = own ? SOURCE_OFFSET : dice.page() * PAGE_SIZE;
      return { op, args: [slot, bytes(dice), bytes(dice, 4), where] };
    }
    case 'lseek':
      return { op, args: [slot, bytes(dice), dice.pick([3, 3, 4, 4, 0, 1, 2, 5])] };
    case 'seal':
      return { op, args: [slot, dice.pick([1, 2, 4, 8, 8, 16, 16, 32, 64])] };
    case 'closefile':
      return { op, args: [slot] };
    default:
      return null;
  }
}

function mapFile(dice: Dice, slot: number): Operation {
  const [start = 0, size = 0] = dice.range();
  let flags = dice.pick([MAP_SHARED, MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE]) | MAP_FIXED;
  if (dice.chance(8)) flags |= dice.pick([MAP_POPULATE, MAP_LOCKED, MAP_NORESERVE]);
  const offset = dice.chance(2) ? 0 : dice.below(FILE_PAGES) * PAGE_SIZE;
  return { op: 'mapfile', args: [start, size, dice.prot(), flags, slot, offset] };
}

/** Mostly whole pages. */
function bytes(dice: Dice, most = FILE_PAGES): number {
  const whole = dice.below(most + 1) * PAGE_SIZE;
  return dice.chance(4) ? Math.max(0, whole - dice.below(PAGE_SIZE)) : whole;
}

/** Without lengths that reach other mappings. */
function whole(dice: Dice): readonly [number, number] {
  const [start, size] = dice.range();
  return [start, size > 100 * PAGE_SIZE ? -PAGE_SIZE : size];
}

function drawScan(dice: Dice): Operation {
  const [start, size] = whole(dice);
  const flags = dice.pick([0, 0, 0, 1, 1, 1, 1, 2, 3, 3, 4]);
  const some = (): number => dice.pick([0, 0, 1, 2, 2, 4, 8, 16, 32, 256, dice.below(512), 512]);
  const inverted = dice.chance(3) ? some() : 0;
  const mask = flags === 0 ? some() : dice.pick([WRITTEN, WRITTEN, some()]);
  const any = dice.chance(4) ? some() : 0;
  // Bits of soft-dirty (0x80) differ between kernels.
  const back = dice.chance(2) ? CATEGORIES & ~0x80 : some() & ~0x80;
  const longest = dice.pick([16, 16, 16, 1, 2, 3]);
  const most = dice.chance(4) ? 1 + dice.below(8) : 0;
  const args = [start, size, flags, inverted & ~0x80, mask & ~0x80, any & ~0x80, back];
  return { op: 'scan', args: [...args, longest, most] };
}
