import { assert, at } from '../../base/assert.ts';
import { decode, type Insn, insnLength } from './decode.ts';
import { expand } from './decode-compressed.ts';
import type { Handler, HandlerRow } from './handler.ts';
import * as layout from './hart-layout.ts';
import { HartState, NO_TRAP } from './hart-state.ts';
import { ATOMIC_HANDLERS } from './interpreter-atomic.ts';
import { CSR_HANDLERS } from './interpreter-csr.ts';
import { FP_HANDLERS } from './interpreter-fp.ts';
import { INT_HANDLERS } from './interpreter-int.ts';
import { MULDIV_HANDLERS } from './interpreter-muldiv.ts';
import { translateFetch } from './memory.ts';
import { OP_COUNT } from './ops.ts';
import * as trap from './trap.ts';

/** Every handler by its operation. */
const HANDLERS: readonly Handler[] = handlerTable([
  ...INT_HANDLERS,
  ...MULDIV_HANDLERS,
  ...ATOMIC_HANDLERS,
  ...CSR_HANDLERS,
  ...FP_HANDLERS,
]);

/**
 * Entries of the decode memo; more than the distinct instructions of a small program's hot code.
 */
const MEMO_ENTRIES = 16384;

/**
 * What `fetch` answers on a miss: no instruction has this value, being longer than 16 bits without
 * ending in 11.
 */
const MISSING = 0x10000;

/** One instruction word and what to do with it: a pure function of the word, so never stale. */
interface Decoded {
  readonly raw: number;
  readonly length: number;
  readonly insn: Insn;
  readonly handler: Handler;
}

/**
 * The exact engine (decision 15): one instruction at a time, every trap precise, every budget met.
 * The oracle of the translator, and what executes the last instructions of a slice.
 */
export class Interpreter implements trap.Engine {
  readonly name = 'interpreter';
  readonly #buffer: () => ArrayBufferLike;
  readonly #hart = new HartState();
  readonly #memo: Decoded[];

  /**
   * @param buffer gives the World's memory; asked at each `run`, because growing it replaces the
   *   buffer
   */
  constructor(buffer: () => ArrayBufferLike) {
    this.#buffer = buffer;
    this.#memo = new Array<Decoded>(MEMO_ENTRIES).fill(decodeRaw(0));
  }

  run(hart: number, budget: number, _addressSpace: number): trap.TrapCause {
    assert(Number.isSafeInteger(budget) && budget > 0, `budget ${budget}`);
    const h = this.#hart;
    h.bind(this.#buffer(), hart);
    const cause = this.#loop(h, budget);
    this.#leave(h, budget, cause);
    return cause;
  }

  /**
   * Nothing to forget: instructions are read from memory each time, and only their decoding is
   * remembered.
   */
  invalidateFrame(_pfn: number): void {}

  /**
   * Executes one decoded instruction that is no jump, branch or counter read, for an engine that
   * keeps such instructions out of its translated code. Registers are read from and written to
   * memory; pc and instret are not.
   * @returns NO_TRAP, or the cause, with trapAddr written for memory traps only
   */
  execute(hart: number, insn: Insn): number {
    this.#hart.bind(this.#buffer(), hart);
    return at(HANDLERS, insn.op)(this.#hart, insn);
  }

  #loop(h: HartState, budget: number): trap.TrapCause {
    const memo = this.#memo;
    // The TLB changes only between runs, so one look-up serves until execution leaves the page.
    let pageLo = 0;
    let pageHi = -1;
    let page = -1;
    for (; h.retired < budget; h.retired++) {
      const lo = h.pcLo;
      const vpnLo = (lo >>> 12) | (h.pcHi << 20);
      const vpnHi = h.pcHi >>> 12;
      if (vpnLo !== pageLo || vpnHi !== pageHi) {
        page = translateFetch(h, lo & ~0xfff, h.pcHi);
        if (page < 0) return fetchTrap(h, lo, h.pcHi);
        pageLo = vpnLo;
        pageHi = vpnHi;
      }
      const raw = fetch(h, page + (lo & 0xfff));
      if (raw === MISSING) return trap.TRAP_FETCH;
      const slot = (Math.imul(raw, 0x9e3779b1) >>> 18) & (MEMO_ENTRIES - 1);
      let decoded = memo[slot] as Decoded;
      if (decoded.raw !== raw) {
        decoded = decodeRaw(raw);
        memo[slot] = decoded;
      }
      h.nextLo = (lo + decoded.length) | 0;
      h.nextHi = h.nextLo >>> 0 < decoded.length ? (h.pcHi + 1) | 0 : h.pcHi;
      const cause = decoded.handler(h, decoded.insn);
      if (cause !== NO_TRAP) {
        if (cause === trap.TRAP_ILLEGAL) h.setPair(layout.HART_TRAP_ADDR, raw, 0);
        return cause as trap.TrapCause;
      }
      h.pcLo = h.nextLo;
      h.pcHi = h.nextHi;
    }
    return trap.TRAP_BUDGET;
  }

  #leave(h: HartState, budget: number, cause: trap.TrapCause): void {
    h.setPair(layout.HART_PC, h.pcLo, h.pcHi);
    h.setWord(layout.HART_TRAP, cause);
    const low = (h.word(layout.HART_INSTRET) >>> 0) + h.retired;
    const high = h.word(layout.HART_INSTRET + 4) + Math.floor(low / 2 ** 32);
    h.setPair(layout.HART_INSTRET, low, high);
    const left = budget - h.retired;
    h.setPair(layout.HART_FUEL, left, Math.floor(left / 2 ** 32));
  }
}

/**
 * The instruction at a host address: 16 bits, or 32 as a signed number. Half of it may lie on the
 * next page.
 * @returns MISSING when that page is not executable; the trap address is then its first byte
 */
function fetch(h: HartState, host: number): number {
  const half = h.u16[host >>> 1] as number;
  if (insnLength(half) === 2) return half;
  if ((h.pcLo & 0xfff) < 0xffe) return half | ((h.u16[(host >>> 1) + 1] as number) << 16);
  const lo = (h.pcLo + 2) | 0;
  const hi = lo === 0 ? (h.pcHi + 1) | 0 : h.pcHi;
  const rest = translateFetch(h, lo, hi);
  if (rest >= 0) return half | ((h.u16[rest >>> 1] as number) << 16);
  fetchTrap(h, lo, hi);
  return MISSING;
}

function fetchTrap(h: HartState, lo: number, hi: number): trap.TrapCause {
  h.setPair(layout.HART_TRAP_ADDR, lo, hi);
  return trap.TRAP_FETCH;
}

function decodeRaw(raw: number): Decoded {
  const length = insnLength(raw);
  const insn = decode(length === 2 ? expand(raw) : raw);
  return { raw, length, insn, handler: at(HANDLERS, insn.op) };
}

function handlerTable(rows: readonly HandlerRow[]): readonly Handler[] {
  const table: Handler[] = [];
  for (const [code, handler] of rows) {
    assert(table[code] === undefined, `operation ${code} has two handlers`);
    table[code] = handler;
  }
  for (let code = 0; code < OP_COUNT; code++) at(table, code);
  return table;
}
