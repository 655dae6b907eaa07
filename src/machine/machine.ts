/** The hardware of one World: RAM, page-table words, one TLB per hart, a clock. */
import { Clock } from './clock.ts';
import { Frames, metaBytes } from './frames.ts';
import type { Geometry } from './geometry.ts';
import { Tables, tableBytes } from './tables.ts';
import { type Tlb, UnboundedTlb } from './tlb.ts';

export interface MachineOptions {
  readonly geometry: Geometry;
  readonly harts: number;
  /** Where RAM lies: `run` passes its WebAssembly memory and the offset of frame 0 in it. */
  readonly memory?: { readonly buffer: ArrayBuffer; readonly base: number };
  /**
   * Buffers of an earlier machine of the same geometry that is not used any more: litmus makes thousands a second, and
   * clearing memory is cheaper than asking for it.
   */
  readonly reuse?: MachineBuffers;
  /** One per hart; by default without eviction. */
  readonly tlbs?: readonly Tlb[];
}

/** The memory of a machine. */
export class MachineBuffers {
  readonly content: ArrayBuffer;
  readonly meta: ArrayBuffer;
  readonly tables: ArrayBuffer;

  /** @param withContent false when RAM lies elsewhere */
  constructor(geometry: Geometry, withContent = true) {
    this.content = new ArrayBuffer(withContent ? geometry.frames * geometry.contentBytes : 0);
    this.meta = new ArrayBuffer(metaBytes(geometry));
    this.tables = new ArrayBuffer(tableBytes(geometry));
  }

  clear(): void {
    for (const buffer of [this.content, this.meta, this.tables]) new Uint8Array(buffer).fill(0);
  }
}

export class Machine {
  readonly geometry: Geometry;
  readonly frames: Frames;
  readonly tables: Tables;
  readonly tlbs: readonly Tlb[];
  readonly clock: Clock = new Clock();

  constructor(options: MachineOptions) {
    const { geometry } = options;
    this.geometry = geometry;
    options.reuse?.clear();
    const buffers = options.reuse ?? new MachineBuffers(geometry, options.memory === undefined);
    const memory = options.memory ?? { buffer: buffers.content, base: 0 };
    this.frames = new Frames(geometry, memory.buffer, memory.base, buffers.meta);
    this.tables = new Tables(geometry, buffers.tables);
    const tlbs: Tlb[] = [];
    for (let hart = 0; hart < options.harts; hart++) {
      tlbs.push(options.tlbs?.[hart] ?? new UnboundedTlb());
    }
    this.tlbs = tlbs;
  }
}
