/**
 * The memory of a guest World and the engine that runs its harts: one WebAssembly memory that holds hart states, TLBs
 * and all RAM (decision 12), so that translated code reaches everything with constant offsets.
 */
import { at } from '../base/assert.ts';
import type { Task } from '../kernel/core/task.ts';
import { type Geometry, REAL_GEOMETRY } from '../machine/geometry.ts';
import type { MachineOptions } from '../machine/machine.ts';
import type { Pfn } from '../machine/pte.ts';
import { HART_BYTES } from '../machine/riscv/hart-layout.ts';
import { HartTlb } from '../machine/riscv/hart-tlb.ts';
import { Interpreter } from '../machine/riscv/interpreter.ts';
import { TRANSLATOR_BYTES, Translator } from '../machine/riscv/translator.ts';
import type { Engine, TrapCause } from '../machine/riscv/trap.ts';
import { GuestContext } from './guest-context.ts';

const WASM_PAGE = 65_536;
const PAGE = 4096;

export interface GuestMachineOptions {
  /** RAM in bytes: a multiple of 4096, at most 3 GiB. */
  readonly ram: number;
  readonly cpus: number;
  readonly engine: 'translator' | 'interpreter';
}

interface Hart {
  /** Byte address of its state. */
  readonly base: number;
  readonly tlb: HartTlb;
  /** Whose registers it holds. */
  loaded: GuestContext | null;
  /** Whose page tables its TLB was filled from: Mm id, 0 none. */
  space: number;
}

export class GuestMachine {
  readonly buffer: ArrayBuffer;
  readonly engine: Engine;
  readonly #harts: Hart[] = [];
  readonly #framesBase: number;
  readonly #geometry: Geometry;

  constructor(options: GuestMachineOptions) {
    const hartsStart = WASM_PAGE;
    const hartSize = Math.ceil(HART_BYTES / PAGE) * PAGE;
    const translatorArea = hartsStart + options.cpus * hartSize;
    const end = translatorArea + TRANSLATOR_BYTES;
    this.#framesBase = Math.ceil(end / WASM_PAGE) * WASM_PAGE;
    const frames = Math.floor(options.ram / PAGE);
    this.#geometry = { ...REAL_GEOMETRY, frames };
    const pages = Math.ceil((this.#framesBase + frames * PAGE) / WASM_PAGE);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.buffer = memory.buffer;
    const interpreter = new Interpreter(() => memory.buffer);
    this.engine =
      options.engine === 'interpreter'
        ? interpreter
        : new Translator(memory, translatorArea, interpreter);
    const hostOf = (pfn: Pfn): number => this.#framesBase + pfn * PAGE;
    const onWritable = (pfn: Pfn): void => this.engine.invalidateFrame(pfn);
    for (let i = 0; i < options.cpus; i++) {
      const base = hartsStart + i * hartSize;
      const tlb = new HartTlb(memory.buffer, base, hostOf, onWritable);
      this.#harts.push({ base, tlb, loaded: null, space: 0 });
    }
  }

  /** What `new World` needs to use this memory. */
  machineOptions(): MachineOptions {
    return {
      geometry: this.#geometry,
      harts: this.#harts.length,
      memory: { buffer: this.buffer, base: this.#framesBase },
      tlbs: this.#harts.map((hart) => hart.tlb),
    };
  }

  /** Registers for a new task, all zero. */
  newContext(): GuestContext {
    return new GuestContext(this.buffer);
  }

  /** Makes a task's address space the one its hart translates for; another one's TLB entries go. */
  enterSpace(task: Task): void {
    const hart = at(this.#harts, task.hart);
    const space = task.mm?.id ?? 0;
    if (hart.space === space) return;
    hart.tlb.flushAll();
    hart.space = space;
  }

  /** Puts a task's registers on its hart. */
  enterTask(task: Task, context: GuestContext): void {
    const hart = at(this.#harts, task.hart);
    this.enterSpace(task);
    if (hart.loaded === context) return;
    hart.loaded?.unload();
    context.load(hart.base);
    hart.loaded = context;
  }

  /**
   * Runs the task that entered last on its hart until a trap or until exactly `budget` instructions have retired.
   * @returns why it stopped
   */
  execute(task: Task, budget: number): TrapCause {
    const hart = at(this.#harts, task.hart);
    return this.engine.run(hart.base, budget, hart.space);
  }
}
