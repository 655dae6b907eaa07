/** Names of a litmus test: regions with their addresses, files, threads, and which register belongs to which thread. */
import { must } from '../base/assert.ts';
import type { LitmusTest, Operand, Pos, Statement } from './ast.ts';
import { didYouMean, LitmusError } from './error.ts';

/** A stretch of addresses with a name. Placed when the file is read, so that every execution has the same. */
export interface Region {
  readonly name: string;
  readonly start: number;
  readonly pages: number;
  /** Whose address space it is in; null: the main process's. */
  readonly process: string | null;
}

/** What set-up makes besides regions and files. */
export interface Thing {
  readonly kind: 'vm' | 'gpc' | 'device';
  readonly slot: number;
}

/** One column: set-up, a thread, a forked child, or `finally`. Registers belong to one. */
export interface Strand {
  readonly index: number;
  readonly name: string;
  readonly kind: 'setup' | 'thread' | 'child' | 'finally';
  readonly daemon: boolean;
  /** Null: the main process. */
  readonly process: string | null;
  readonly body: readonly Statement[];
  /** Slots of the registers assigned here. */
  readonly registers: Map<string, number>;
}

export const PAGE = 4096;
/** The first region begins here; below it mmap without an address finds room (LITMUS_GEOMETRY.mmapBase). */
const FIRST_REGION = 0x200000;
/** Regions begin at a new table and leave a gap, so that they neither merge nor share page tables. */
const TABLE_PAGES = 4;

export class Scope {
  readonly regions: Map<string, Region> = new Map();
  /** Names of userfaultfds and memfds to their slots. */
  readonly files: Map<string, number> = new Map();
  /** Which of them are memfds. */
  readonly memfds: Set<string> = new Set();
  /** Which of them are files on a disk. */
  readonly disks: Set<string> = new Set();
  /** Which of them are pipes: the read end; the write end is the next slot. */
  readonly pipes: Set<string> = new Set();
  /** Names of what else set-up makes: virtual machines, caches of guest pages, devices. */
  readonly things: Map<string, Thing> = new Map();
  /** Strands that are vCPUs, and of which virtual machine. */
  readonly vcpus: Map<number, number> = new Map();
  readonly strands: Strand[] = [];
  /** Processes besides the main one. */
  readonly processes: string[] = [];
  slots = 0;
  #nextPage = FIRST_REGION / PAGE;

  constructor(test: LitmusTest) {
    for (const { process } of [...test.setup, ...test.threads]) {
      if (process !== undefined && !this.processes.includes(process)) this.processes.push(process);
    }
    this.#strand('setup', 'setup', false, test.setup);
    for (const thread of test.threads) {
      if (this.strands.some((s) => s.name === thread.name)) {
        throw new LitmusError(`a second thread called ${thread.name}`, thread.pos, 'rename one');
      }
      const { name, daemon, body, process = null } = thread;
      this.#strand(name, 'thread', daemon, body, process);
    }
    for (const strand of [...this.strands]) this.#children(strand.body, strand);
    this.#strand('finally', 'finally', false, test.finally);
    for (const strand of this.strands) this.#collect(strand.body, strand);
  }

  get setup(): Strand {
    return must(this.strands[0], 'set-up strand');
  }
  get last(): Strand {
    return must(this.strands[this.strands.length - 1], 'finally strand');
  }

  /** Set-up as a process does it: registers are those of all set-up. */
  setupOf(process: string | null): Strand {
    return process === null ? this.setup : { ...this.setup, process };
  }

  strandNamed(name: string): Strand | undefined {
    return this.strands.find((s) => s.name === name);
  }

  /** Places a region. @param at its first page as the file asks for it, or null */
  addRegion(
    name: string,
    pages: number,
    at: number | null,
    pos: Pos,
    process: string | null = null,
  ): Region {
    if (this.regions.has(name) || this.files.has(name)) {
      throw new LitmusError(`${name} is already the name of something`, pos, 'choose another');
    }
    const first = at ?? this.#nextPage;
    const region: Region = { name, start: first * PAGE, pages, process };
    for (const other of this.regions.values()) {
      if (
        region.start < other.start + other.pages * PAGE &&
        other.start < region.start + pages * PAGE
      ) {
        throw new LitmusError(`${name} would lie over ${other.name}`, pos, 'move one with `at`');
      }
    }
    const end = Math.ceil((first + pages + 1) / TABLE_PAGES) * TABLE_PAGES;
    this.#nextPage = Math.max(this.#nextPage, end);
    this.regions.set(name, region);
    return region;
  }

  addFile(name: string, pos: Pos): number {
    if (this.regions.has(name) || this.files.has(name)) {
      throw new LitmusError(`${name} is already the name of something`, pos, 'choose another');
    }
    const slot = this.files.size;
    this.files.set(name, slot);
    return slot;
  }

  /** @returns its slot among its kind */
  addThing(kind: Thing['kind'], name: string, pos: Pos): number {
    if (this.regions.has(name) || this.files.has(name) || this.things.has(name)) {
      throw new LitmusError(`${name} is already the name of something`, pos, 'choose another');
    }
    const slot = [...this.things.values()].filter((t) => t.kind === kind).length;
    this.things.set(name, { kind, slot });
    return slot;
  }

  /** The slot of a thing. @param usage how one is made */
  thing(kind: Thing['kind'], operand: Operand, usage: string): number {
    const name = operand.kind === 'word' ? operand.name : '';
    const found = this.things.get(name);
    if (found?.kind === kind) return found.slot;
    const names = [...this.things].filter(([, t]) => t.kind === kind).map(([n]) => n);
    throw new LitmusError(
      name === '' ? `the name of a ${kind} is wanted here` : `no ${kind} is called ${name}`,
      operand.pos,
      didYouMean(name, names, `one is made by: ${usage}`),
    );
  }

  region(name: string, pos: Pos): Region {
    const region = this.regions.get(name);
    if (region !== undefined) return region;
    throw new LitmusError(
      `no region is called ${name}`,
      pos,
      didYouMean(name, this.regions.keys(), 'a region is made by: map A 1 page anon rw private'),
    );
  }

  /** `A[1]`, `A[0]+8`, or the number in hex. */
  placeName(address: number): string {
    for (const { name, start, pages } of this.regions.values()) {
      if (address < start || address >= start + pages * PAGE) continue;
      const page = Math.floor((address - start) / PAGE);
      const rest = (address - start) % PAGE;
      return rest === 0 ? `${name}[${page}]` : `${name}[${page}]+${rest}`;
    }
    return `0x${address.toString(16)}`;
  }

  /** The slot a strand writes. */
  slotToWrite(strand: Strand, name: string): number {
    return must(strand.registers.get(name), `slot of ${name}`);
  }

  /**
   * The slot that a name means where a strand reads it: its own, else one of set-up; `finally` and rules (null) also
   * see those of threads, when only one thread has it.
   */
  slotToRead(strand: Strand | null, name: string, pos: Pos): number | null {
    const reader = strand ?? this.last;
    const own = reader.registers.get(name) ?? this.setup.registers.get(name);
    if (own !== undefined) return own;
    const holders = this.strands.filter((s) => s.registers.has(name));
    const [first, second] = holders;
    if (first === undefined) return null;
    if (strand !== null && strand.kind !== 'finally') {
      throw new LitmusError(
        `register ${name} belongs to thread ${first.name}`,
        pos,
        'threads share pages, not registers: use store and load',
      );
    }
    if (second !== undefined) {
      throw new LitmusError(
        `${name} is a register of ${holders.map((s) => s.name).join(' and ')}`,
        pos,
        `write ${first.name}.${name}`,
      );
    }
    return first.registers.get(name) ?? null;
  }

  /** Every register name, for hints. */
  registerNames(): Set<string> {
    return new Set(this.strands.flatMap((s) => [...s.registers.keys()]));
  }

  #strand(
    name: string,
    kind: Strand['kind'],
    daemon: boolean,
    body: readonly Statement[],
    process: string | null = null,
  ): Strand {
    const index = this.strands.length;
    const registers = new Map<string, number>();
    const strand: Strand = { index, name, kind, daemon, process, body, registers };
    this.strands.push(strand);
    return strand;
  }

  /** Finds `fork NAME { … }`: every child is a strand of its own. */
  #children(body: readonly Statement[], parent: Strand): void {
    for (const s of body) {
      if (s.kind === 'on') {
        this.#children(s.body, parent);
        this.#children(s.otherwise, parent);
      } else if (s.kind === 'loop') {
        this.#children(s.body, parent);
      } else if (s.kind === 'call' && s.verb === 'fork' && s.block !== null) {
        const name = childName(s.operands, s.pos);
        if (this.strands.some((other) => other.name === name)) {
          throw new LitmusError(`a second thread called ${name}`, s.pos, 'rename one');
        }
        const { daemon, process } = parent;
        this.#children(s.block, this.#strand(name, 'child', daemon, s.block, process));
      }
    }
  }

  #collect(body: readonly Statement[], strand: Strand): void {
    for (const s of body) {
      if (s.kind === 'on') {
        this.#collect(s.body, strand);
        this.#collect(s.otherwise, strand);
      } else if (s.kind === 'loop') {
        this.#collect(s.body, strand);
      } else if (s.kind !== 'break' && s.into !== null && !strand.registers.has(s.into)) {
        strand.registers.set(s.into, this.slots++);
      }
    }
  }
}

/** The name in `fork child { … }`. */
export function childName(operands: readonly Operand[], pos: Pos): string {
  const [name] = operands;
  if (name?.kind !== 'word' || operands.length !== 1) {
    throw new LitmusError('`fork` wants a name and a block', pos, 'fork child { r0 = load A[0] }');
  }
  return name.name;
}
