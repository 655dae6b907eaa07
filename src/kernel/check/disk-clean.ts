/**
 * No write to a file on a disk is lost: where memory and disk differ, somebody knows that the page must be written, its
 * folio or an entry that maps it. Suspended while the page is locked, being written out, or not read yet.
 */
import { machine } from '../../machine/current.ts';
import { PG_DIRTY } from '../../machine/frames.ts';
import type { Pfn } from '../../machine/pte.ts';
import { pteDirty, ptePfn, ptePresent } from '../../machine/pte.ts';
import { type AddressSpace, PG_UPTODATE, PG_WRITEBACK } from '../mm/address-space.ts';
import type { DiskBlocks } from '../mm/disk-blocks.ts';
import type { World } from '../world.ts';
import { forEachPte } from './page-tables.ts';

export const name = 'disk-clean';

export function check(world: World): string | null {
  for (const mapping of world.mappings.values()) {
    const { disk } = mapping;
    if (disk === null) continue;
    for (const [index, pfn] of mapping.pages) {
      if (!settled(world, pfn) || same(disk, index, pfn) || isDirtyEntry(world, pfn)) continue;
      return forgotten(mapping, index);
    }
  }
  return null;
}

function forgotten({ id }: AddressSpace, index: number): string {
  return `page ${index} of file ${id} differs from what the disk has, and nothing says that it is dirty`;
}

/** Whether a page claims to be what the disk has. */
function settled(world: World, pfn: Pfn): boolean {
  const flags = machine.frames.flags[pfn] ?? 0;
  if ((flags & PG_UPTODATE) === 0 || (flags & (PG_DIRTY | PG_WRITEBACK)) !== 0) return false;
  return world.folioLocks.get(pfn)?.free !== false;
}

function same(disk: DiskBlocks, index: number, pfn: Pfn): boolean {
  const { frames } = machine;
  const block = disk.blocks.get(index);
  const start = frames.address(pfn, 0);
  for (let i = 0; i < frames.contentBytes; i++) {
    if ((frames.bytes[start + i] ?? 0) !== (block?.[i] ?? 0)) return false;
  }
  return true;
}

function isDirtyEntry(world: World, pfn: Pfn): boolean {
  let dirty = false;
  for (const mm of world.mms) {
    forEachPte(mm, (_address, pte) => {
      if (ptePresent(pte) && ptePfn(pte) === pfn && pteDirty(pte)) dirty = true;
    });
  }
  return dirty;
}
