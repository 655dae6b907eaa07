import { must } from '../../../base/assert.ts';
import { decode, type Insn, insnLength } from '../decode.ts';
import { expand } from '../decode-compressed.ts';
import * as op from '../ops.ts';

/** Bytes of a page, the most code a unit may cover: beyond it another TLB entry decides what the code is. */
export const CODE_PAGE = 4096;
/** Instructions of one unit at most; larger functions are slow to compile and stay long in V8's first tier. */
const UNIT_INSNS = 700;

export interface Located {
  /** Byte offset in the page. */
  readonly offset: number;
  readonly length: number;
  /** The 32-bit word, of a compressed instruction its expansion. */
  readonly word: number;
  readonly insn: Insn;
}

/** What the last instruction of a block does with control. */
export type Ending = 'fall' | 'branch' | 'jump' | 'indirect' | 'stop';

/** Instructions executed from the first to the last, or until one of them leaves the unit. */
export interface Block {
  readonly start: number;
  /** Without the last instruction of a `stop`, which the interpreter executes. */
  readonly insns: readonly Located[];
  readonly ending: Ending;
  /** Offset of the instruction after the block. */
  readonly next: number;
  /** Where a taken branch or a jump goes, as an offset that may lie outside the page; 0 otherwise. */
  readonly target: number;
}

/** The code of one unit: all of it in one page. */
export interface Region {
  /** By rising start. */
  readonly blocks: readonly Block[];
  /** Starts of blocks where execution may come in from elsewhere: seeds, callees, return points. */
  readonly entries: ReadonlySet<number>;
  /** False when UNIT_INSNS cut it short. */
  readonly complete: boolean;
}

/**
 * Follows the code from some instructions as far as direct control flow stays in the page.
 * @param page the frame's 4096 bytes
 * @param seeds byte offsets of the first instructions, the most wanted first
 */
export function discover(page: DataView, seeds: readonly number[]): Region {
  const walk = new Walk(page);
  for (const seed of seeds) walk.enter(seed);
  walk.run();
  return { blocks: walk.blocks(), entries: walk.entries, complete: walk.complete };
}

/** Reads one instruction; undefined when it reaches over the end of the page. */
export function fetch(page: DataView, offset: number): Located | undefined {
  if (offset + 2 > CODE_PAGE) return undefined;
  const half = page.getUint16(offset, true);
  const length = insnLength(half);
  if (offset + length > CODE_PAGE) return undefined;
  const word = length === 2 ? expand(half) : page.getUint32(offset, true);
  return { offset, length, word, insn: decode(word) };
}

/** Whether control may go elsewhere than to the next instruction, or translated code cannot go on. */
export function endsBlock(insn: Insn): boolean {
  return ending(insn) !== 'fall';
}

function ending(insn: Insn): Ending {
  const code = insn.op;
  if (code >= op.OP_BEQ && code <= op.OP_BGEU) return 'branch';
  if (code === op.OP_JAL) return 'jump';
  if (code === op.OP_JALR) return 'indirect';
  const isStop =
    code === op.OP_ILLEGAL ||
    code === op.OP_ECALL ||
    code === op.OP_EBREAK ||
    code === op.OP_FENCE_I ||
    (code >= op.OP_CSRRW && code <= op.OP_CSRRCI && !isFloatCsr(insn.csr));
  return isStop ? 'stop' : 'fall';
}

/** fflags, frm and fcsr: nothing else is touched, so the interpreter may do them from within translated code. */
function isFloatCsr(csr: number): boolean {
  return csr >= 1 && csr <= 3;
}

class Walk {
  readonly entries: Set<number> = new Set();
  complete = true;
  readonly #page: DataView;
  readonly #insns: Map<number, Located> = new Map();
  readonly #leaders: Set<number> = new Set();
  /** Successors of the code itself come before callees, so that a cut falls between functions. */
  readonly #near: number[] = [];
  readonly #callees: number[] = [];

  constructor(page: DataView) {
    this.#page = page;
  }

  enter(offset: number): void {
    this.entries.add(offset);
    this.#lead(offset, this.#near);
  }

  run(): void {
    for (;;) {
      const start = this.#near.shift() ?? this.#callees.shift();
      if (start === undefined) return;
      this.#line(start);
    }
  }

  blocks(): Block[] {
    const starts = [...this.#leaders].filter((start) => this.#insns.has(start));
    starts.sort((a, b) => a - b);
    for (const entry of this.entries) if (!this.#insns.has(entry)) this.entries.delete(entry);
    return starts.map((start) => this.#block(start));
  }

  #line(start: number): void {
    let offset = start;
    while (!this.#insns.has(offset)) {
      const located = fetch(this.#page, offset);
      if (located === undefined) return;
      if (this.#insns.size >= UNIT_INSNS) {
        this.complete = false;
        return;
      }
      this.#insns.set(offset, located);
      offset += located.length;
      if (endsBlock(located.insn)) {
        this.#follow(located);
        return;
      }
    }
    // The rest is known code, but a block may begin here only if the line did: blocks run to the next leader.
    this.#lead(offset, this.#near);
  }

  #follow({ offset, length, insn }: Located): void {
    const next = offset + length;
    switch (ending(insn)) {
      case 'branch':
        this.#lead(next, this.#near);
        this.#lead(offset + insn.imm, this.#near);
        return;
      case 'jump':
        if (insn.rd === 0) {
          this.#lead(offset + insn.imm, this.#near);
          return;
        }
        this.enter(next);
        if (isInPage(offset + insn.imm)) this.entries.add(offset + insn.imm);
        this.#lead(offset + insn.imm, this.#callees);
        return;
      case 'indirect':
        if (insn.rd !== 0) this.enter(next);
        return;
      default:
        if (insn.op !== op.OP_ILLEGAL) this.enter(next);
    }
  }

  #lead(offset: number, queue: number[]): void {
    if (!isInPage(offset) || this.#leaders.has(offset)) return;
    this.#leaders.add(offset);
    queue.push(offset);
  }

  #block(start: number): Block {
    const insns: Located[] = [];
    let offset = start;
    for (;;) {
      const located = this.#insns.get(offset);
      if (located === undefined || (offset !== start && this.#leaders.has(offset))) {
        return { start, insns, ending: 'fall', next: offset, target: 0 };
      }
      const kind = ending(located.insn);
      if (kind === 'stop') return { start, insns, ending: 'stop', next: offset, target: 0 };
      insns.push(located);
      offset += located.length;
      if (kind === 'fall') continue;
      const target = kind === 'indirect' ? 0 : must(insns.at(-1), 'last').offset + located.insn.imm;
      return { start, insns, ending: kind, next: offset, target };
    }
  }
}

function isInPage(offset: number): boolean {
  return offset >= 0 && offset < CODE_PAGE;
}
