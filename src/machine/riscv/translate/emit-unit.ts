import { assert, at, must } from '../../../base/assert.ts';
import { HART_TLB, TLB_TAG_X, TLB_X_PFN } from '../hart-layout.ts';
import * as op from '../ops.ts';
import type { Block, Located } from './discover.ts';
import { emitFloat } from './emit-float.ts';
import { emitInteger } from './emit-integer.ts';
import { emitMemory } from './emit-memory.ts';
import { ENTRY_ID_BITS, JUMP_ENTRY_SHIFT, JUMP_MASK, JUMP_PFN, JUMP_SLOT } from './jump-cache.ts';
import { itemIndex, type Layout, type Loop } from './layout.ts';
import {
  ENTRY,
  exitWord,
  FUEL,
  HART,
  LEFT_FUEL,
  LEFT_STEP,
  NEXT,
  PC,
  SLOT,
  TEMP32,
  UnitCode,
} from './unit-code.ts';
import { type FunctionBody, type Label, TYPE_UNIT } from './wasm-encoder.ts';
import * as w from './wasm-opcodes.ts';

const ENTRY_MASK = (1 << ENTRY_ID_BITS) - 1;

/** Where a unit lies. */
export interface UnitPlace {
  /** Virtual address of its page. */
  readonly page: number;
  /** Its index in the table of units. */
  readonly index: number;
  /** Byte address of the jump cache in the World's memory. */
  readonly jumpCache: number;
}

/**
 * Writes one unit: `(hart, entry number) -> LEFT_…`.
 *
 *     block tail                    spill, then return or tail-call the unit in SLOT
 *       block exit (i32)            an exit word: pc and fuel are computed from it
 *         loop again                NEXT tells which entry
 *           block jump (i64)        a pc outside the known edges
 *             … the blocks …
 *           end                     look pc up in the jump cache: this unit, another one, or none
 */
export function emitUnit(layout: Layout, place: UnitPlace): FunctionBody {
  const writer = new UnitWriter(layout, place);
  writer.write();
  return writer.code.finish();
}

class UnitWriter {
  readonly code: UnitCode;
  readonly #layout: Layout;
  readonly #place: UnitPlace;
  /** The labels of a loop's items, and of the loop itself. */
  readonly #labels: Map<Loop, (Label | undefined)[]> = new Map();
  readonly #again: Map<Loop, Label> = new Map();

  constructor(layout: Layout, place: UnitPlace) {
    this.code = new UnitCode(place.page);
    this.#layout = layout;
    this.#place = place;
  }

  write(): void {
    const { code } = this;
    const tail = code.open(w.W_BLOCK, w.T_VOID);
    code.exit = code.open(w.W_BLOCK, w.T_I32);
    const again = code.open(w.W_LOOP, w.T_VOID);
    code.jump = code.open(w.W_BLOCK, w.T_I64);
    this.#items(this.#layout.top);
    code.op(w.W_UNREACHABLE);
    code.end();
    this.#chain(again, tail);
    code.end();
    code.op(w.W_UNREACHABLE);
    code.end();
    this.#unpackExit();
    code.end();
    this.#leave();
  }

  /** With the pc on the stack: goes on in this unit, sets SLOT to the unit to go on in, or to -1. */
  #chain(again: Label, tail: Label): void {
    const { code } = this;
    const pageShift = 12;
    code.set(PC);
    code.i32(-1);
    code.set(SLOT);
    code.tlbEntry(PC);
    code.memory(w.W_I64_LOAD, HART_TLB + TLB_TAG_X);
    code.get(PC);
    code.i64(pageShift);
    code.op(w.W_I64_SHR_U);
    code.op(w.W_I64_NE);
    code.brIf(tail);
    code.get(PC);
    code.op(w.W_I32_WRAP_I64);
    code.i32(JUMP_ENTRY_SHIFT);
    code.op(w.W_I32_SHL);
    code.i32(JUMP_MASK);
    code.op(w.W_I32_AND);
    code.tee(TEMP32);
    code.memory(w.W_I64_LOAD, this.#place.jumpCache);
    code.get(PC);
    code.op(w.W_I64_NE);
    code.brIf(tail);
    code.get(ENTRY);
    code.memory(w.W_I32_LOAD, HART_TLB + TLB_X_PFN);
    code.get(TEMP32);
    code.memory(w.W_I32_LOAD, this.#place.jumpCache + JUMP_PFN);
    code.op(w.W_I32_NE);
    code.brIf(tail);
    code.get(TEMP32);
    code.memory(w.W_I32_LOAD, this.#place.jumpCache + JUMP_SLOT);
    code.tee(SLOT);
    code.i32(ENTRY_MASK);
    code.op(w.W_I32_AND);
    code.set(NEXT);
    code.get(SLOT);
    code.i32(ENTRY_ID_BITS);
    code.op(w.W_I32_SHR_U);
    code.i32(this.#place.index);
    code.op(w.W_I32_EQ);
    code.brIf(again);
    code.br(tail);
  }

  /** With an exit word on the stack. */
  #unpackExit(): void {
    const { code } = this;
    const field = (shift: number): void => {
      code.get(TEMP32);
      if (shift > 0) {
        code.i32(shift);
        code.op(w.W_I32_SHR_U);
      }
      code.i32(0xfff);
      code.op(w.W_I32_AND);
      code.op(w.W_I64_EXTEND_I32_U);
    };
    code.set(TEMP32);
    code.i64(code.page);
    field(0);
    code.op(w.W_I64_ADD);
    code.set(PC);
    code.get(FUEL);
    field(12);
    code.op(w.W_I64_SUB);
    code.set(FUEL);
    code.i32(-1);
    code.get(TEMP32);
    code.i32(24);
    code.op(w.W_I32_SHR_U);
    code.op(w.W_I32_SUB);
    code.set(SLOT);
  }

  #leave(): void {
    const { code } = this;
    code.spill();
    code.get(SLOT);
    code.i32(0);
    code.op(w.W_I32_LT_S);
    code.open(w.W_IF, w.T_VOID);
    code.i32(-1);
    code.get(SLOT);
    code.op(w.W_I32_SUB);
    code.op(w.W_RETURN);
    code.end();
    code.get(HART);
    code.get(NEXT);
    code.get(SLOT);
    code.i32(ENTRY_ID_BITS);
    code.op(w.W_I32_SHR_U);
    code.returnCallIndirect(TYPE_UNIT);
  }

  /** The items of a loop, each behind the label that jumps to it need, and the dispatch to entries among them. */
  #items(loop: Loop): void {
    const { code } = this;
    const isTop = loop.parent === undefined;
    const dispatches = isTop || this.#hasInnerEntry(loop);
    if (!isTop) this.#again.set(loop, code.open(w.W_LOOP, w.T_VOID));
    const labels: (Label | undefined)[] = loop.items.map(() => undefined);
    this.#labels.set(loop, labels);
    for (let k = loop.items.length - 1; k >= 0; k--) {
      const isHead = k === 0 && dispatches;
      if (isHead || (k > 0 && this.#isTarget(at(loop.items, k)))) {
        labels[k] = code.open(w.W_BLOCK, w.T_VOID);
      }
    }
    if (dispatches) this.#dispatch(loop, labels, isTop);
    loop.items.forEach((item, k) => {
      if (labels[k] !== undefined) code.end();
      if (typeof item === 'number') this.#block(item, loop);
      else this.#items(item);
    });
    if (!isTop) code.end();
  }

  #hasInnerEntry(loop: Loop): boolean {
    return this.#layout.entries.some((block) => block > loop.first && block <= loop.last);
  }

  #isTarget(item: number | Loop): boolean {
    const { jumped, entryOf } = this.#layout;
    const isNamed = (block: number): boolean => jumped.has(block) || at(entryOf, block) > 0;
    if (typeof item === 'number') return isNamed(item);
    for (let block = item.first; block <= item.last; block++) if (isNamed(block)) return true;
    return false;
  }

  #dispatch(loop: Loop, labels: readonly (Label | undefined)[], isTop: boolean): void {
    const { code } = this;
    const head = must(labels[0], 'label of the head');
    if (!isTop) {
      code.get(NEXT);
      code.op(w.W_I32_EQZ);
      code.brIf(head);
    }
    const targets = [head];
    for (const block of this.#layout.entries) {
      const isHere = block >= loop.first && block <= loop.last;
      targets.push(isHere ? must(labels[itemIndex(loop, block)], 'label of an entry') : head);
    }
    code.get(NEXT);
    code.brTable(targets, head);
  }

  #block(index: number, loop: Loop): void {
    const { code } = this;
    const block = at(this.#layout.blocks, index);
    code.before = 0;
    if (at(this.#layout.entryOf, index) > 0) this.#check(index, block);
    for (const located of block.insns) {
      const isLast = located === block.insns.at(-1) && block.ending !== 'fall';
      if (!(isLast && block.ending !== 'stop')) emitOne(code, located);
      code.before++;
    }
    if (block.insns.length > 0) {
      code.get(FUEL);
      code.i64(block.insns.length);
      code.op(w.W_I64_SUB);
      code.set(FUEL);
    }
    this.#end(block, index, loop);
  }

  /** At an entry: NEXT has done its work, and the fuel must last to the next check. */
  #check(index: number, block: Block): void {
    const { code } = this;
    code.i32(0);
    code.set(NEXT);
    const reach = at(this.#layout.reach, index);
    if (reach === 0) return;
    code.i32(exitWord(LEFT_FUEL, block.start, 0));
    code.get(FUEL);
    code.i64(reach);
    code.op(w.W_I64_LT_S);
    code.leaveIf();
  }

  #end(block: Block, index: number, loop: Loop): void {
    const { code } = this;
    switch (block.ending) {
      case 'stop':
        code.i32(exitWord(LEFT_STEP, block.next, 0));
        code.br(code.exit);
        return;
      case 'indirect': {
        const { insn, offset, length } = must(block.insns.at(-1), 'jalr');
        code.x(insn.rs1);
        code.i64(insn.imm);
        code.op(w.W_I64_ADD);
        code.i64(-2);
        code.op(w.W_I64_AND);
        code.set(PC);
        this.#link(insn.rd, offset + length);
        code.get(PC);
        code.br(code.jump);
        return;
      }
      case 'jump': {
        const { insn, offset, length } = must(block.insns.at(-1), 'jal');
        this.#link(insn.rd, offset + length);
        this.#go(block.target, index, loop);
        return;
      }
      case 'branch':
        this.#branch(must(block.insns.at(-1), 'branch'), block, index, loop);
        this.#fall(block, index, loop);
        return;
      default:
        this.#fall(block, index, loop);
    }
  }

  #link(rd: number, next: number): void {
    if (rd === 0) return;
    this.code.i64(this.code.page + next);
    this.code.setX(rd);
  }

  #fall(block: Block, index: number, loop: Loop): void {
    if (this.#layout.indexAt.get(block.next) !== index + 1) this.#go(block.next, index, loop);
  }

  #branch({ insn }: Located, block: Block, index: number, loop: Loop): void {
    const { code } = this;
    const condition = (): void => {
      code.x(insn.rs1);
      code.x(insn.rs2);
      code.op(must(CONDITIONS.get(insn.op), 'condition'));
    };
    const edge = this.#edge(block.target, index, loop);
    if (edge === undefined) {
      code.i64(code.page + block.target);
      condition();
      code.brIf(code.jump);
      code.op(w.W_DROP);
    } else if (edge.next === 0) {
      condition();
      code.brIf(edge.label);
    } else {
      condition();
      code.open(w.W_IF, w.T_VOID);
      code.i32(edge.next);
      code.set(NEXT);
      code.br(edge.label);
      code.end();
    }
  }

  #go(target: number, index: number, loop: Loop): void {
    const { code } = this;
    const edge = this.#edge(target, index, loop);
    if (edge === undefined) {
      code.i64(code.page + target);
      code.br(code.jump);
      return;
    }
    if (edge.next !== 0) {
      code.i32(edge.next);
      code.set(NEXT);
    }
    code.br(edge.label);
  }

  /** The label that leads from a block to an offset, and what NEXT has to be; undefined when it leaves the unit. */
  #edge(target: number, from: number, loop: Loop): { label: Label; next: number } | undefined {
    const to = this.#layout.indexAt.get(target);
    if (to === undefined) return undefined;
    for (let around: Loop | undefined = loop; around; around = around.parent) {
      if (to < around.first || to > around.last) continue;
      if (to === around.first && to <= from) {
        const label = this.#again.get(around);
        if (label !== undefined) return { label, next: 0 };
        continue;
      }
      const k = itemIndex(around, to);
      const item = at(around.items, k);
      const isHead = typeof item === 'number' || item.first === to;
      const label = must(at(must(this.#labels.get(around), 'labels'), k), `label of block ${to}`);
      return { label, next: isHead ? 0 : at(this.#layout.entryOf, to) };
    }
    assert(false, `no way from block ${from} to ${to}`);
  }
}

const CONDITIONS: ReadonlyMap<number, number> = new Map([
  [op.OP_BEQ, w.W_I64_EQ],
  [op.OP_BNE, w.W_I64_NE],
  [op.OP_BLT, w.W_I64_LT_S],
  [op.OP_BGE, w.W_I64_GE_S],
  [op.OP_BLTU, w.W_I64_LT_U],
  [op.OP_BGEU, w.W_I64_GE_U],
]);

function emitOne(code: UnitCode, located: Located): void {
  if (located.insn.op === op.OP_FENCE) return; // Memory is sequentially consistent.
  const isEmitted =
    emitInteger(code, located) || emitMemory(code, located) || emitFloat(code, located);
  assert(isEmitted, `no translation of operation ${located.insn.op}`);
}
