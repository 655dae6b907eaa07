/**
 * Virtual machines: `vm V A` in the set-up, `vcpu V` at the head of a thread whose loads and stores are the guest's, and
 * `gpc G V A[0]` with `refresh G`, `use G 5`, `enter G 5` for a guest page that is used by its frame.
 */
import { must } from '../base/assert.ts';
import { kvmCreateVm, Vcpu } from '../kernel/virt/kvm/kvm.ts';
import { guestLoad, guestStore } from '../kernel/virt/kvm/mmu.ts';
import {
  GfnToPfnCache,
  gpcEnterGuest,
  gpcWrite,
  kvmGpcRefresh,
} from '../kernel/virt/kvm/pfncache.ts';
import type { Operand } from './ast.ts';
import { type Call, resultOf } from './calls.ts';
import { LitmusError } from './error.ts';
import { PAGE } from './scope.ts';
import type { RunState } from './state.ts';
import { atMost, nameOf, numberOf, ownRange, type Verb, type VerbContext, want } from './verb.ts';

const VM_USAGE = 'vm V A';
const VCPU_USAGE = 'vcpu V';
const GPC_USAGE = 'gpc G V A[0]';
const REFRESH_USAGE = 'r = refresh G';
const USE_USAGE = 'r = use G 5';
const ENTER_USAGE = 'r = enter G 5';

export const KVM_VERBS: Readonly<Record<string, Verb>> = {
  vm: { usage: VM_USAGE, compile: compileVm },
  vcpu: { usage: VCPU_USAGE, compile: compileVcpu },
  gpc: { usage: GPC_USAGE, compile: compileGpc },
  refresh: { usage: REFRESH_USAGE, compile: compileRefresh },
  use: { usage: USE_USAGE, compile: compileUse },
  enter: { usage: ENTER_USAGE, compile: compileEnter },
};

/** A VM whose memory is one region after the other. */
function compileVm(c: VerbContext): Call {
  inSetup(c, 'a virtual machine');
  const name = nameOf(c, 0, VM_USAGE);
  want(c, 1, 'the regions that are its memory', VM_USAGE);
  const memory = c.operands.slice(1).map((o) => ownRange(c, o));
  const slot = c.scope.addThing('vm', name.name, name.pos);
  return function* (run, task) {
    const kvm = yield* kvmCreateVm(slot, name.name, task.mmOrDie);
    for (const { start, length } of memory) kvm.addSlot(start(run), length(run) / PAGE);
    run.vms[slot] = kvm;
    return 0;
  };
}

/** The thread runs a vCPU: from here on its loads and stores are the guest's. */
function compileVcpu(c: VerbContext): Call {
  const slot = c.scope.thing('vm', want(c, 0, 'a virtual machine', VCPU_USAGE), VM_USAGE);
  atMost(c, 1, VCPU_USAGE);
  const { index, kind } = c.strand;
  if (kind !== 'thread') throw new LitmusError('a vCPU is a thread', c.pos, 'move it into one');
  c.scope.vcpus.set(index, slot);
  return function* (run) {
    run.vcpus[index] = new Vcpu(must(run.vms[slot], 'vm'), index);
    return 0;
  };
}

/** Whether the strand is a vCPU: then its accesses are compiled by the two below. */
export function isVcpu(c: VerbContext): boolean {
  return c.scope.vcpus.has(c.strand.index);
}

export function compileGuestLoad(c: VerbContext, usage: string): Call {
  const { start } = ownRange(c, want(c, 0, 'a page', usage));
  atMost(c, 1, usage);
  const { index } = c.strand;
  return function* (run, task) {
    const { vcpu, gfn, offset, address } = guestPlace(run, index, start(run));
    const got = yield* guestLoad(vcpu, gfn, offset);
    if (got < 0) return resultOf(got);
    for (const p of run.promises) p.accessed(task, address, 'read', got | 0);
    return got | 0;
  };
}

export function compileGuestStore(c: VerbContext, usage: string): Call {
  const { start } = ownRange(c, want(c, 0, 'a page', usage));
  const value = numberOf(c, want(c, 1, 'a value', usage));
  atMost(c, 2, usage);
  const { index } = c.strand;
  return function* (run, task) {
    const { vcpu, gfn, offset, address } = guestPlace(run, index, start(run));
    const error = yield* guestStore(vcpu, gfn, offset, value(run));
    if (error < 0) return resultOf(error);
    for (const p of run.promises) p.accessed(task, address, 'wrote', value(run) | 0);
    return 0;
  };
}

function guestPlace(
  run: RunState,
  index: number,
  address: number,
): { vcpu: Vcpu; gfn: number; offset: number; address: number } {
  const vcpu = must(run.vcpus[index], 'vcpu');
  return { vcpu, gfn: vcpu.kvm.gfnOf(address), offset: address % PAGE, address };
}

function compileGpc(c: VerbContext): Call {
  inSetup(c, 'a cache of a guest page');
  const name = nameOf(c, 0, GPC_USAGE);
  const vm = c.scope.thing('vm', want(c, 1, 'a virtual machine', GPC_USAGE), VM_USAGE);
  const place = ownRange(c, want(c, 2, 'a page', GPC_USAGE));
  atMost(c, 3, GPC_USAGE);
  const slot = c.scope.addThing('gpc', name.name, name.pos);
  return function* (run) {
    const kvm = must(run.vms[vm], 'vm');
    const gfn = kvm.gfnOf(place.start(run));
    if (gfn < 0) throw new LitmusError('no memory of that machine', name.pos, GPC_USAGE);
    run.gpcs[slot] = new GfnToPfnCache(kvm, name.name, gfn);
    return 0;
  };
}

function compileRefresh(c: VerbContext): Call {
  const gpc = gpcOf(c, REFRESH_USAGE);
  atMost(c, 1, REFRESH_USAGE);
  return function* (run) {
    return resultOf(yield* kvmGpcRefresh(gpc(run)));
  };
}

/** The host writes the page by its frame. */
function compileUse(c: VerbContext): Call {
  const gpc = gpcOf(c, USE_USAGE);
  const value = numberOf(c, want(c, 1, 'a value', USE_USAGE));
  atMost(c, 2, USE_USAGE);
  return function* (run) {
    return resultOf(yield* gpcWrite(gpc(run), value(run)));
  };
}

/** The guest does, in guest mode. */
function compileEnter(c: VerbContext): Call {
  const gpc = gpcOf(c, ENTER_USAGE);
  const value = numberOf(c, want(c, 1, 'a value', ENTER_USAGE));
  atMost(c, 2, ENTER_USAGE);
  const { index } = c.strand;
  if (!isVcpu(c)) throw new LitmusError('only a vCPU enters guest mode', c.pos, VCPU_USAGE);
  return function* (run) {
    const vcpu = must(run.vcpus[index], 'vcpu');
    return resultOf(yield* gpcEnterGuest(vcpu, gpc(run), value(run)));
  };
}

function gpcOf(c: VerbContext, usage: string): (run: RunState) => GfnToPfnCache {
  const operand: Operand = want(c, 0, 'a cache', usage);
  const slot = c.scope.thing('gpc', operand, GPC_USAGE);
  return (run) => must(run.gpcs[slot], 'gpc');
}

function inSetup(c: VerbContext, what: string): void {
  if (c.strand.kind === 'setup') return;
  throw new LitmusError(`${what} is made in the set-up`, c.pos, 'move it above');
}
