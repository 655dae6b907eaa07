/** PAGEMAP_SCAN: its number, struct and bits. @linux include/uapi/linux/fs.h */
import type { StructLayout } from './userfaultfd.ts';

/** _IOWR('f', 16, struct pm_scan_arg) */
export const PAGEMAP_SCAN = 0xc0606610;

export const PM_SCAN_WP_MATCHING = 1;
export const PM_SCAN_CHECK_WPASYNC = 2;

export const PAGE_IS_WPALLOWED: number = 1 << 0;
export const PAGE_IS_WRITTEN: number = 1 << 1;
export const PAGE_IS_FILE: number = 1 << 2;
export const PAGE_IS_PRESENT: number = 1 << 3;
export const PAGE_IS_SWAPPED: number = 1 << 4;
export const PAGE_IS_PFNZERO: number = 1 << 5;
export const PAGE_IS_HUGE: number = 1 << 6;
export const PAGE_IS_SOFT_DIRTY: number = 1 << 7;
export const PAGE_IS_GUARD: number = 1 << 8;
export const PM_SCAN_CATEGORIES: number = (1 << 9) - 1;

/** For litmus: names without PAGE_IS_, lower case. */
export const PAGE_IS_NAMES: Readonly<Record<string, number>> = {
  wpallowed: PAGE_IS_WPALLOWED,
  written: PAGE_IS_WRITTEN,
  file: PAGE_IS_FILE,
  present: PAGE_IS_PRESENT,
  swapped: PAGE_IS_SWAPPED,
  pfnzero: PAGE_IS_PFNZERO,
  huge: PAGE_IS_HUGE,
  softdirty: PAGE_IS_SOFT_DIRTY,
  guard: PAGE_IS_GUARD,
};

type ScanField =
  | 'size'
  | 'flags'
  | 'start'
  | 'end'
  | 'walk_end'
  | 'vec'
  | 'vec_len'
  | 'max_pages'
  | 'category_inverted'
  | 'category_mask'
  | 'category_anyof_mask'
  | 'return_mask';

const FIELDS: readonly ScanField[] = [
  'size',
  'flags',
  'start',
  'end',
  'walk_end',
  'vec',
  'vec_len',
  'max_pages',
  'category_inverted',
  'category_mask',
  'category_anyof_mask',
  'return_mask',
];

export const PM_SCAN_ARG: StructLayout<ScanField> = {
  name: 'struct pm_scan_arg',
  size: FIELDS.length * 8,
  fields: FIELDS.map((name, i) => ({
    name,
    offset: i * 8,
    kind: 'u64',
    out: name === 'walk_end',
  })),
};

/** struct page_region { start, end, categories } */
export const PAGE_REGION_SIZE = 24;

export interface PageRegion {
  readonly start: number;
  readonly end: number;
  readonly categories: number;
}

export function encodeRegions(regions: readonly PageRegion[]): Uint8Array {
  const bytes = new Uint8Array(regions.length * PAGE_REGION_SIZE);
  const view = new DataView(bytes.buffer);
  for (const [i, { start, end, categories }] of regions.entries()) {
    view.setBigUint64(i * PAGE_REGION_SIZE, BigInt(start), true);
    view.setBigUint64(i * PAGE_REGION_SIZE + 8, BigInt(end), true);
    view.setBigUint64(i * PAGE_REGION_SIZE + 16, BigInt(categories), true);
  }
  return bytes;
}

export function decodeRegions(bytes: Uint8Array, count: number): PageRegion[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const get = (offset: number): number => Number(view.getBigUint64(offset, true));
  return Array.from({ length: count }, (_, i) => ({
    start: get(i * PAGE_REGION_SIZE),
    end: get(i * PAGE_REGION_SIZE + 8),
    categories: get(i * PAGE_REGION_SIZE + 16),
  }));
}
