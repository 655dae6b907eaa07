import { must } from '../../../base/assert.ts';
import { decode, type Insn } from '../decode.ts';
import type { Page, Unit, UnitFunction } from './cache.ts';
import { CODE_PAGE, discover, type Region } from './discover.ts';
import { emitUnit } from './emit-unit.ts';
import type { JumpCache } from './jump-cache.ts';
import { layOut } from './layout.ts';
import { encodeModule, type FunctionBody } from './wasm-encoder.ts';

/** Seeds of one unit at most, so that a jump table does not have its function translated again and again. */
const MAX_SEEDS = 64;
const FIRST_TABLE = 1024;

/** Executes one instruction that translated code leaves to the interpreter; not 0 when it would trap. */
export type StepInstruction = (hart: number, insn: Insn) => number;

/** Where code starts that became hot. */
export interface Wanted {
  readonly page: Page;
  readonly offset: number;
  /** Byte address of the page's frame. */
  readonly host: number;
}

/** Makes units and owns the table they call each other through. */
export class Workshop {
  /** By unit index. */
  readonly functions: (UnitFunction | undefined)[] = [];
  readonly #memory: WebAssembly.Memory;
  readonly #table: WebAssembly.Table;
  readonly #jumps: JumpCache;
  readonly #jumpBase: number;
  readonly #imports: Record<string, Record<string, unknown>>;
  readonly #insns: Map<number, Insn> = new Map();
  readonly #free: number[] = [];

  /** @param jumpBase byte address of the jump cache */
  constructor(
    memory: WebAssembly.Memory,
    jumps: JumpCache,
    jumpBase: number,
    step: StepInstruction,
  ) {
    this.#memory = memory;
    this.#jumps = jumps;
    this.#jumpBase = jumpBase;
    this.#table = new WebAssembly.Table({ element: 'anyfunc', initial: FIRST_TABLE });
    const stepWord = (hart: number, word: number): number => step(hart, this.#insn(word));
    this.#imports = { env: { memory, table: this.#table, step: stepWord } };
  }

  /**
   * Translates all in one module, since a module costs more than a unit (engine.md §1).
   * @returns how many units it made
   */
  translate(wanted: readonly Wanted[]): number {
    const bodies: FunctionBody[] = [];
    const indices: number[] = [];
    const words = new Int32Array(this.#memory.buffer);
    for (const { page, offset, host } of wanted) {
      if ((page.slots[offset >> 1] as number) >= 0) continue;
      const code = new DataView(this.#memory.buffer, host, CODE_PAGE);
      const plan = planUnit(code, page, offset);
      if (plan === undefined) continue;
      for (const unit of plan.replaces) this.remove(words, page, unit);
      const index = this.#free.pop() ?? this.functions.push(undefined) - 1;
      const layout = layOut(plan.region);
      bodies.push(emitUnit(layout, { page: page.address, index, jumpCache: this.#jumpBase }));
      indices.push(index);
      const { seeds, covers } = plan;
      const entries = layout.entries.map((block) => must(layout.blocks[block], 'block').start);
      page.add({ index, seeds, covers, entries });
    }
    if (bodies.length > 0) this.#install(bodies, indices);
    return bodies.length;
  }

  /** Drops a unit; nothing leads to it any more. */
  remove(words: Int32Array, page: Page, unit: Unit): void {
    page.remove(unit, (offset, slot) => this.#jumps.remove(words, page, offset, slot));
    this.functions[unit.index] = undefined;
    if (unit.index < this.#table.length) this.#table.set(unit.index, null);
    this.#free.push(unit.index);
  }

  #install(bodies: readonly FunctionBody[], indices: readonly number[]): void {
    const module = new WebAssembly.Module(encodeModule(bodies));
    const { exports } = new WebAssembly.Instance(module, this.#imports);
    while (this.#table.length < this.functions.length) this.#table.grow(this.#table.length);
    indices.forEach((index, n) => {
      const unit = exports[String(n)];
      if (typeof unit !== 'function') return;
      this.functions[index] = unit;
      this.#table.set(index, unit);
    });
  }

  #insn(word: number): Insn {
    let insn = this.#insns.get(word);
    if (insn === undefined) {
      insn = decode(word);
      this.#insns.set(word, insn);
    }
    return insn;
  }
}

interface Plan {
  readonly region: Region;
  readonly seeds: readonly number[];
  readonly covers: ReadonlySet<number>;
  readonly replaces: readonly Unit[];
}

/** Code that overlaps older units becomes one unit with them while it is small: loops stay whole, nothing is double. */
function planUnit(code: DataView, page: Page, offset: number): Plan | undefined {
  const alone = discover(code, [offset]);
  if (alone.blocks.length === 0) return undefined;
  const covers = instructions(alone);
  const replaces = [...page.units].filter((unit) => overlaps(unit, covers));
  const seeds = [...new Set([offset, ...replaces.flatMap((unit) => unit.seeds)])];
  if (replaces.length > 0 && seeds.length <= MAX_SEEDS) {
    const region = discover(code, seeds);
    if (region.complete) return { region, seeds, covers: instructions(region), replaces };
  }
  return { region: alone, seeds: [offset], covers, replaces: [] };
}

function instructions(region: Region): Set<number> {
  const offsets = new Set<number>();
  for (const block of region.blocks) for (const { offset } of block.insns) offsets.add(offset);
  return offsets;
}

function overlaps(unit: Unit, covers: ReadonlySet<number>): boolean {
  for (const offset of covers) if (unit.covers.has(offset)) return true;
  return false;
}
