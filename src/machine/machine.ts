/** The hardware of one World: RAM, page-table words, one TLB per hart, a clock. */
import { Clock } from './clock.ts';
import { Frames, metaBytes } from './frames.ts';
import type { Geometry } from './geometry.ts';
import { Shortage } from './shortage.ts';
import { Tables, tableBytes } from './tables.ts';
import { TableTlb, type Tlb, UnboundedTlb } from './tlb.ts';

/** From so many frames on it pays to keep TLB entries in tables. */
const MANY_FRAMES = 4096;

export interface MachineOptions {
  readonly geometry: Geometry;
  readonly harts: number;
  /** Where RAM lies: `run` passes its WebAssembly memory and the offset of frame 0 in it. */
  readonly memory?: { readonly buffer: ArrayBuffer; readonly base: number };
  /** One per hart; by default without eviction. */
  readonly tlbs?: readonly Tlb[];
  /** Whether allocations can be made to fail. Default false. */
  readonly failing?: boolean;
}

/** Litmus touches a handful of pages and makes a machine for every execution. */
function unboundedTlb(geometry: Geometry): Tlb {
  return geometry.frames > MANY_FRAMES ? new TableTlb() : new UnboundedTlb();
}

export class Machine {
  readonly geometry: Geometry;
  readonly frames: Frames;
  readonly tables: Tables;
  readonly tlbs: readonly Tlb[];
  readonly clock: Clock = new Clock();
  /** Null: allocations fail only when there is no memory. */
  readonly shortage: Shortage | null;

  constructor(options: MachineOptions) {
    const { geometry } = options;
    this.geometry = geometry;
    const { buffer, base } = options.memory ?? {
      buffer: new ArrayBuffer(geometry.frames * geometry.contentBytes),
      base: 0,
    };
    this.frames = new Frames(geometry, buffer, base, new ArrayBuffer(metaBytes(geometry)));
    this.tables = new Tables(geometry, new ArrayBuffer(tableBytes(geometry)));
    this.shortage = options.failing === true ? new Shortage() : null;
    this.frames.shortage = this.shortage;
    this.tables.shortage = this.shortage;
    const tlbs: Tlb[] = [];
    for (let hart = 0; hart < options.harts; hart++) {
      tlbs.push(options.tlbs?.[hart] ?? unboundedTlb(geometry));
    }
    this.tlbs = tlbs;
  }
}
