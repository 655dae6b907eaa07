/** Makes a failing program as short and plain as it gets: fewer operations first, then smaller operands. */
import { at } from '../../base/assert.ts';
import { PAGE_SIZE } from '../../machine/geometry.ts';
import {
  arenaPagesOf,
  type OperandKind,
  type Operation,
  operandsOf,
  type Program,
} from './operations.ts';

/** Says of each candidate whether it still fails. Many at once, since the executor is cheap to batch. */
export type StillFails = (programs: readonly Program[]) => readonly boolean[];

/** A failing program of which no operation can be left out and no operand made plainer. */
export function shrink(program: Program, stillFails: StillFails): Program {
  let best = program;
  for (let before = ''; before !== JSON.stringify(best); ) {
    before = JSON.stringify(best);
    best = fewerOperations(best, stillFails);
    best = plainerOperands(best, stillFails);
  }
  return best;
}

/** Leaves out runs of operations, longest first. @source Zeller and Hildebrandt 2002, delta debugging */
function fewerOperations(program: Program, stillFails: StillFails): Program {
  let best = program;
  for (
    let size = Math.ceil(best.length / 2);
    size >= 1;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let again = true; again; ) {
      const candidates: Program[] = [];
      for (let from = 0; from < best.length; from += size) {
        candidates.push([...best.slice(0, from), ...best.slice(from + size)]);
      }
      // Without it what lies beyond the small arena would not be compared.
      const whole = candidates.filter(
        (candidate) => arenaPagesOf(candidate) === arenaPagesOf(best),
      );
      const found = stillFails(whole).indexOf(true);
      again = found >= 0;
      if (again) best = at(whole, found);
    }
  }
  return best;
}

function plainerOperands(program: Program, stillFails: StillFails): Program {
  let best = program;
  for (let again = true; again; ) {
    const candidates = [...plainer(best)];
    const found = stillFails(candidates).indexOf(true);
    again = found >= 0;
    if (again) best = at(candidates, found);
  }
  return best;
}

function* plainer(program: Program): Generator<Program> {
  yield* withoutEmptyPages(program);
  for (const [i, operation] of program.entries()) {
    const kinds = operandsOf(operation.op);
    for (const [j, kind] of kinds.entries()) {
      const value = operation.args[j] ?? 0;
      for (const simple of simpler(kind, value)) {
        if (simple === value) continue;
        const args = operation.args.with(j, simple);
        yield program.with(i, { op: operation.op, args });
      }
    }
  }
}

/** Every page operand moved down together. */
function* withoutEmptyPages(program: Program): Generator<Program> {
  for (const by of [16, 4, 1]) {
    const moved = program.map((operation) => movedDown(operation, by * PAGE_SIZE));
    const same = JSON.stringify(moved) === JSON.stringify(program);
    if (!same && moved.every((operation) => operation !== null)) yield moved;
  }
}

function movedDown({ op, args }: Operation, by: number): Operation | null {
  const kinds = operandsOf(op);
  const moved = args.map((arg, i) => (kinds[i] === 'page' ? arg - by : arg));
  return moved.some((arg, i) => kinds[i] === 'page' && arg < 0) ? null : { op, args: moved };
}

/** Plainer values of an operand, plainest first; each is smaller in some order, so that shrinking ends. */
function simpler(kind: OperandKind, value: number): number[] {
  switch (kind) {
    case 'size':
      return value > PAGE_SIZE && value < PAGE_SIZE * 100
        ? [PAGE_SIZE, Math.ceil(value / 2 / PAGE_SIZE) * PAGE_SIZE, value - PAGE_SIZE].filter(
            (size) => size < value && size > 0,
          )
        : [];
    case 'prot':
      return value === 3 ? [] : [3];
    case 'map-flags':
      return value === 0x32 ? [] : [0x32];
    case 'features':
      return bitsOf(value).map((bit) => value - bit);
    case 'mode':
      return bitsOf(value).map((bit) => value - bit);
    default:
      return [];
  }
}

function bitsOf(value: number): number[] {
  const bits: number[] = [];
  for (let bit = 1; bit <= value; bit *= 2) if (Math.floor(value / bit) % 2 === 1) bits.push(bit);
  return bits;
}
