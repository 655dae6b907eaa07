/**
 * A virtual machine: guest frames (gfn) in slots over user memory, shadow entries (SPTEs) that say which frame of the
 * machine each is, and vCPUs with TLBs of their own. A second MMU beside the harts', which learns of changes through MMU
 * notifiers only.
 *
 * Differs from Linux: one flat table of SPTEs per VM instead of a tree of tables; no dirty log; a VM ends with the address
 * space it was made in.
 *
 * @linux virt/kvm/kvm_main.c, include/linux/kvm_host.h; semantics.md section 17
 */
import { assert } from '../../../base/assert.ts';
import { PAGE_SIZE } from '../../../machine/geometry.ts';
import type { Pfn } from '../../../machine/pte.ts';
import { UnboundedTlb } from '../../../machine/tlb.ts';
import { type Cell, cellOf } from '../../../sched/cell.ts';
import { Lock } from '../../../sched/lock.ts';
import type { Steps } from '../../../sched/op.ts';
import { CELL_KVM } from '../../cells.ts';
import { KVM_MMU_LOCK } from '../../lock-classes.ts';
import type { Mm, Vaddr } from '../../mm/mm-types.ts';
import { mmuNotifierRegister } from '../../mm/mmu-notifier.ts';
import { KvmMmuNotifier } from './mmu-notifier.ts';
import type { GfnToPfnCache } from './pfncache.ts';

/** Guest frames a VM may have. */
const MAX_GFNS = 4096;
/** Planes of cells: words of the VM, its SPTEs, then the TLB of each vCPU. */
const WORDS = 0;
const SPTES = 1;
const FIRST_VCPU = 2;
const PLANES = 32;
/** Cells of the VM's own words. */
const SEQ = 0;
const ACTIVE = 1;
const MMU_LOCK = 2;
const FIRST_MODE = 16;
const FIRST_GPC = 64;

/** Guest frames [gfn, gfn + pages) are user memory from `hva` on. @linux struct kvm_memory_slot */
export interface MemorySlot {
  readonly gfn: number;
  readonly pages: number;
  readonly hva: Vaddr;
}

/** What a shadow entry allows. */
export interface Spte {
  readonly pfn: Pfn;
  readonly write: boolean;
}

/** @linux struct kvm */
export class Kvm {
  readonly id: number;
  readonly name: string;
  readonly mm: Mm;
  /** Fixed once the VM runs. */
  readonly slots: MemorySlot[] = [];
  readonly vcpus: Vcpu[] = [];
  readonly gpcs: GfnToPfnCache[] = [];
  readonly mmuLock: Lock;
  /** Shadow entries by guest frame. Protected by mmuLock. */
  readonly sptes: Map<number, Spte> = new Map();
  /** Invalidations so far. Protected by mmuLock; read without it before a fault looks the page up. @linux mmu_invalidate_seq */
  invalidateSeq = 0;
  /** Invalidations in flight, and the addresses they cover. Protected by mmuLock. @linux mmu_invalidate_in_progress */
  invalidateInProgress = 0;
  rangeStart: Vaddr = 0;
  rangeEnd: Vaddr = 0;
  /** The same count from before the caches are told until after the end. @linux mn_active_invalidate_count */
  activeInvalidates = 0;

  constructor(id: number, name: string, mm: Mm) {
    this.id = id;
    this.name = name;
    this.mm = mm;
    this.mmuLock = new Lock(KVM_MMU_LOCK, `mmu_lock of ${name}`, this.cellOf(WORDS, MMU_LOCK));
  }

  get seqCell(): Cell {
    return this.cellOf(WORDS, SEQ);
  }
  get activeCell(): Cell {
    return this.cellOf(WORDS, ACTIVE);
  }
  spteCell(gfn: number): Cell {
    return this.cellOf(SPTES, gfn);
  }
  gpcCell(index: number): Cell {
    return this.cellOf(WORDS, FIRST_GPC + index);
  }
  modeCell(vcpu: number): Cell {
    return this.cellOf(WORDS, FIRST_MODE + vcpu);
  }
  vcpuTlbCell(vcpu: number, gfn: number): Cell {
    return this.cellOf(FIRST_VCPU + vcpu, gfn);
  }

  cellOf(plane: number, index: number): Cell {
    assert(plane < PLANES && index < MAX_GFNS, 'a VM with more than it has cells for');
    return cellOf(CELL_KVM, (this.id * PLANES + plane) * MAX_GFNS + index);
  }

  /** Makes user memory guest memory, behind what there is. @linux KVM_SET_USER_MEMORY_REGION */
  addSlot(hva: Vaddr, pages: number): void {
    const last = this.slots.at(-1);
    const gfn = last === undefined ? 0 : last.gfn + last.pages;
    this.slots.push({ gfn, pages, hva });
  }

  /** The user address of a guest frame, or -1 where the VM has no memory. @linux gfn_to_hva */
  hvaOf(gfn: number): Vaddr {
    for (const s of this.slots) {
      if (gfn >= s.gfn && gfn < s.gfn + s.pages) return s.hva + (gfn - s.gfn) * PAGE_SIZE;
    }
    return -1;
  }

  /** The guest frame of a user address, or -1 when it is no memory of the VM. */
  gfnOf(hva: Vaddr): number {
    for (const s of this.slots) {
      if (hva >= s.hva && hva < s.hva + s.pages * PAGE_SIZE) {
        return s.gfn + Math.floor((hva - s.hva) / PAGE_SIZE);
      }
    }
    return -1;
  }
}

/** @linux struct kvm_vcpu */
export class Vcpu {
  readonly kvm: Kvm;
  readonly id: number;
  readonly tlb: UnboundedTlb = new UnboundedTlb();
  /** The cache whose page the guest uses directly while the vCPU is in guest mode; null: it is not, or uses none. */
  using: GfnToPfnCache | null = null;
  /** The frame that `using` stood for when guest mode was entered. */
  usingPfn = 0 as Pfn;

  /** @param id distinguishes it from the others of the VM */
  constructor(kvm: Kvm, id: number) {
    this.kvm = kvm;
    this.id = id;
    kvm.vcpus.push(this);
  }

  /** Stands for guest mode: entered or left. */
  get modeCell(): Cell {
    return this.kvm.modeCell(this.id);
  }
  tlbCell(gfn: number): Cell {
    return this.kvm.vcpuTlbCell(this.id, gfn);
  }
}

/** A VM over an address space. Requires: no lock of the mm. @linux kvm_create_vm */
export function* kvmCreateVm(id: number, name: string, mm: Mm): Steps<Kvm> {
  const kvm = new Kvm(id, name, mm);
  yield* mmuNotifierRegister(mm, new KvmMmuNotifier(kvm));
  return kvm;
}
