import type { Page } from './cache.ts';

/**
 * Where translated code looks a pc up without leaving WebAssembly: a direct-mapped table in the World's memory. An
 * entry holds for any hart whose TLB says that the pc's page is executable and is this frame.
 *
 *     +0  pc i64, -1 when free    +8  pfn u32    +12 slot u32: unit << ENTRY_ID_BITS | entry number
 */
export const JUMP_PFN = 8;
export const JUMP_SLOT = 12;
export const ENTRY_ID_BITS = 12;
const JUMP_ENTRIES = 4096;
const JUMP_ENTRY_BYTES = 16;
export const JUMP_CACHE_BYTES: number = JUMP_ENTRIES * JUMP_ENTRY_BYTES;
/** byte offset of the entry for a pc = (pc << JUMP_ENTRY_SHIFT) & JUMP_MASK: bit 0 of a pc is zero */
export const JUMP_ENTRY_SHIFT = 3;
export const JUMP_MASK: number = (JUMP_ENTRIES - 1) * JUMP_ENTRY_BYTES;

/** The dispatcher's side of the table. */
export class JumpCache {
  readonly #base: number;

  /** @param base byte address of JUMP_CACHE_BYTES in the World's memory */
  constructor(base: number) {
    this.#base = base;
  }

  clear(words: Int32Array): void {
    words.fill(-1, this.#base >> 2, (this.#base + JUMP_CACHE_BYTES) >> 2);
  }

  add(words: Int32Array, page: Page, offset: number, slot: number): void {
    const pc = page.address + offset;
    const at = this.#index(pc);
    words[at] = pc | 0;
    words[at + 1] = Math.floor(pc / 2 ** 32);
    words[at + 2] = page.pfn;
    words[at + 3] = slot;
  }

  /** Forgets an entry if the table still has it. */
  remove(words: Int32Array, page: Page, offset: number, slot: number): void {
    const at = this.#index(page.address + offset);
    if (words[at + 3] === slot) words.fill(-1, at, at + 4);
  }

  #index(pc: number): number {
    return (this.#base + ((pc << JUMP_ENTRY_SHIFT) & JUMP_MASK)) >> 2;
  }
}
