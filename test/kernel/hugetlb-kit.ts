/** A MemfdKit with a pool of huge pages; everything in huge pages of the drawing, which begins at an aligned address. */
import {
  defaultHstate,
  setMaxHugePages,
  setOvercommitHugePages,
} from '../../src/kernel/mm/hugetlb.ts';
import { pmdSlot } from '../../src/kernel/mm/pgtable.ts';
import { userLoad, userStore } from '../../src/kernel/mm/user-access.ts';
import type { Patch } from '../../src/kernel/seam.ts';
import { decodePte, type Pte } from '../../src/machine/pte.ts';
import { MAP_ANONYMOUS, MAP_FIXED, MAP_HUGETLB, MAP_PRIVATE } from '../../src/uapi/mman.ts';
import { A, answer, P } from './kit.ts';
import { MemfdKit } from './memfd-kit.ts';

/** Pages of a huge page in small geometry, and its bytes. */
export const H = 4;
export const HUGE: number = H * P;
const MFD_HUGETLB = 4;
const MFD_ALLOW_SEALING = 2;

export class HugetlbKit extends MemfdKit {
  constructor(pool: number, overcommit = 0, patches: readonly Patch[] = []) {
    super(patches);
    setMaxHugePages(defaultHstate(), pool);
    setOvercommitHugePages(defaultHstate(), overcommit);
  }

  /** `t6 f4 r1 s0`: pages of the pool, free ones, promised ones, surplus ones. */
  counts(): string {
    const { nr, free, resv, surplus } = defaultHstate();
    return `t${nr} f${free.length} r${resv} s${surplus}`;
  }

  /** A hugetlb file of so many huge pages. */
  huge(pages: number): number {
    return this.memfd(pages * H, MFD_HUGETLB | MFD_ALLOW_SEALING);
  }

  /** Maps a file at huge page `at`. @returns `at`, or an errno's name */
  mapHuge(fd: number, at: number, pages: number, flags: number, from = 0): number | string {
    const result = this.mapFile(fd, at * H, pages * H, flags, 3, from * H);
    return typeof result === 'number' ? result / H : result;
  }

  /** Anonymous huge pages at huge page `at`. */
  anonHuge(at: number, pages: number, flags: number = MAP_PRIVATE): number | string {
    const how = flags | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED;
    const result = this.call('mmap', A + at * HUGE, pages * HUGE, 3, how, -1, 0);
    return typeof result === 'number' ? (result - A) / HUGE : result;
  }

  /** Stores at huge page `at`: `ok` or `BUS 2`. */
  put1(at: number, value: number): string {
    const signal = this.alone(userStore(this.task, A + at * HUGE, 1, value));
    return signal === null ? 'ok' : `${signal.signal} ${signal.code}`;
  }
  get1(at: number): number | string {
    const value = this.alone(userLoad(this.task, A + at * HUGE, 1));
    return typeof value === 'number' ? value : `${value.signal} ${value.code}`;
  }

  /** What the entry of huge page `at` says: `none`, `present dirty … huge`, `marker uffd-wp`. */
  hugeSlot(at: number): string {
    const slot = pmdSlot(this.task.mmOrDie, A + at * HUGE);
    const pte = decodePte(((slot < 0 ? 0 : this.world.machine.tables.words[slot]) ?? 0) as Pte);
    if (pte.kind === 'present') return `present ${pte.flags}`;
    return pte.kind === 'marker' ? `marker ${pte.marks}` : pte.kind;
  }

  unmapHuge(at: number, pages: number): number {
    return this.unmap(at * H, pages * H);
  }
  adviseHuge(at: number, pages: number, advice: number): number | string {
    return answer(this.advise(at * H, pages * H, advice));
  }
}
