/**
 * One execution as people read it: a column per thread, a line per step, what the step did to page tables, TLBs and
 * pages, and the rule where it broke.
 */
import { at, must } from '../base/assert.ts';
import { replay } from '../explore/replay.ts';
import type { Schedule } from '../explore/schedule.ts';
import { cellName } from '../kernel/cells.ts';
import type { Mm } from '../kernel/mm/mm-types.ts';
import { CELL_CONTENT, CELL_PTE, CELL_TLB } from '../machine/cells.ts';
import { decodePte, PTE_NONE, type Pte } from '../machine/pte.ts';
import { TLB_W, tlbPfn } from '../machine/tlb.ts';
import {
  type Cell,
  cellClass,
  cellIndex,
  entryCell,
  entryKind,
  LOCK_R,
  WRITE,
} from '../sched/cell.ts';
import type { Op } from '../sched/op.ts';
import type { CompiledTest } from './compile.ts';
import { ptePeek, slotPeek } from './page-state.ts';
import { brokenBy, type LitmusExecution, LitmusProgram } from './run-litmus.ts';
import { PAGE, type Scope } from './scope.ts';

/** One step. */
export interface DiagramStep {
  /** From 1. */
  readonly step: number;
  readonly thread: string;
  /** `lock vma_lock`, `begins`. */
  readonly label: string;
  /** What changed: `A[0]: none -> present write dirty`. */
  readonly effects: readonly string[];
  /** Statements begun (`» …`) and ended (`r0 = 0`) in it. */
  readonly notes: readonly string[];
}

export interface Diagram {
  readonly threads: readonly string[];
  readonly steps: readonly DiagramStep[];
  /** Shown registers with their final values. */
  readonly registers: readonly (readonly [string, string])[];
  /** How it came out: `never "stale data" is broken`, `vcpu waits for …`. */
  readonly ending: readonly string[];
}

/** Steps shown of an execution that came to no end. */
const SHOWN_OF_MANY = 60;

/** Runs an execution again and writes down every step. @throws ScheduleMismatch */
export function drawExecution(
  compiled: CompiledTest,
  schedule: Schedule,
  maxSteps: number,
  checks: 'step' | 'end' = 'step',
): Diagram {
  const program = new LitmusProgram(compiled, checks, maxSteps, true);
  const watched = {
    start(): LitmusExecution {
      const execution = program.start();
      watcher = new Watcher(compiled.scope, execution);
      return execution;
    },
  };
  let watcher: Watcher | null = null;
  const seen = replay(watched, schedule, maxSteps);
  const drawn = must(watcher as Watcher | null, 'watcher');
  const ending: string[] = [];
  if (seen.outcome === null) {
    drawn.lastStep(at(schedule.threads, seen.steps - 1));
    const broken = brokenBy(seen.error, true);
    ending.push(broken === null ? String(seen.error) : `${broken.rule}: ${broken.message}`);
  } else {
    for (const rule of seen.outcome.broken) ending.push(`broken: ${rule}`);
    if (seen.ending === 'stuck') ending.push(...seen.outcome.stuck.map((s) => `hang: ${s}`));
    if (seen.ending === 'limit') {
      ending.push(`broken off after ${maxSteps} steps, of which the first are shown`);
    }
    drawn.rest();
  }
  const values = seen.outcome?.values ?? [];
  const registers = compiled.shown.flatMap(({ name }, i): [string, string][] =>
    values[i] === undefined || values[i] === 'unset' ? [] : [[name, at(values, i)]],
  );
  const { threads, steps } = drawn.drawn();
  const shown = seen.ending === 'limit' ? steps.slice(0, SHOWN_OF_MANY) : steps;
  return { threads, steps: shown, registers, ending };
}

/** Looks at the world after each step and says what is different. */
class Watcher {
  readonly steps: DiagramStep[] = [];
  readonly #scope: Scope;
  readonly #execution: LitmusExecution;
  readonly #places: readonly (readonly [name: string, address: number])[];
  #notes: string[] = [];
  #ptes: Map<string, Pte> = new Map();
  #tlbs: Map<string, number> = new Map();

  constructor(scope: Scope, execution: LitmusExecution) {
    this.#scope = scope;
    this.#execution = execution;
    this.#places = [...scope.regions.values()].flatMap(({ name, start, pages }) =>
      Array.from({ length: pages }, (_, i): [string, number] => [
        `${name}[${i}]`,
        start + i * PAGE,
      ]),
    );
    const { sched } = execution;
    sched.note = (text) => {
      this.#notes.push(text());
    };
    this.#ptes = this.#readPtes();
    this.#tlbs = this.#readTlbs();
    const { afterStep } = sched;
    sched.afterStep = () => {
      this.rest();
      afterStep?.();
    };
  }

  /** Threads that do something, and the steps of those. */
  drawn(): { readonly threads: readonly string[]; readonly steps: readonly DiagramStep[] } {
    const busy = new Set(
      this.steps.filter((s) => s.label !== 'begins' || s.notes.length > 0).map((s) => s.thread),
    );
    return { threads: [...busy], steps: this.steps.filter((s) => busy.has(s.thread)) };
  }

  /** Takes over what the trace has and the diagram has not. */
  rest(): void {
    const trace = this.#execution.sched.trace ?? [];
    while (this.steps.length < trace.length) {
      const { thread, op, footprint } = at(trace, this.steps.length);
      this.#add(thread, op, footprint);
    }
  }

  /** The step that threw: the trace does not have it. */
  lastStep(thread: number): void {
    this.rest();
    const { sched } = this.#execution;
    if (sched.running === null) return;
    this.#add(thread, at(sched.threads, thread).op, sched.footprint);
  }

  #add(threadId: number, op: Op, footprint: readonly number[]): void {
    const thread = at(this.#execution.sched.threads, threadId).name;
    const effects = this.#effects(threadId, footprint);
    const label = this.#label(op, footprint);
    const notes = this.#notes;
    this.#notes = [];
    this.steps.push({ step: this.steps.length + 1, thread, label, effects, notes });
  }

  #label(op: Op, footprint: readonly number[]): string {
    if (op.name === 'start') return 'begins';
    if (op.cell === null) return op.name;
    const first = footprint.find((entry) => entryCell(entry) === op.cell);
    const shared = first !== undefined && entryKind(first) === LOCK_R ? ' (shared)' : '';
    const cell = this.#cellLabel(op.cell);
    if (op.name === 'lock') return `lock ${cell}${shared}`;
    return op.name === 'loadPte' ? `read ${cell}` : `${op.name} ${cell}`;
  }

  #cellLabel(cell: Cell): string {
    const index = cellIndex(cell);
    switch (cellClass(cell)) {
      case CELL_TLB:
        return this.#scope.placeName(Math.floor(index / 16) * PAGE);
      case CELL_PTE:
        return this.#slotNames().get(index) ?? 'upper table';
      default:
        return cellName(cell).replace(/ \d+$/, '').replaceAll('_', ' ');
    }
  }

  #effects(threadId: number, footprint: readonly number[]): string[] {
    const effects: string[] = [];
    const ptes = this.#readPtes();
    for (const [name, pte] of ptes) {
      const before = this.#ptes.get(name) ?? PTE_NONE;
      const [was, is] = [showPte(before), showPte(pte)];
      if (was !== is) effects.push(`${name}: ${was} -> ${is}`);
    }
    for (const entry of footprint) {
      const cell = entryCell(entry);
      if (cellClass(cell) !== CELL_CONTENT || entryKind(entry) !== WRITE) continue;
      const effect = this.#contentEffect(cellIndex(cell), ptes);
      if (!effects.includes(effect)) effects.push(effect);
    }
    const tlbs = this.#readTlbs();
    for (const [key, word] of tlbs) {
      const before = this.#tlbs.get(key) ?? 0;
      if (before === word) continue;
      const [hart = '', name = ''] = key.split(' ');
      const own = Number(hart) === this.#hartOf(threadId);
      const whose = own ? '' : ` of ${this.#hartName(Number(hart))}`;
      effects.push(
        word === 0 ? `TLB${whose} forgets ${name}` : `TLB${whose}: ${name} ${showTlb(word)}`,
      );
    }
    this.#ptes = ptes;
    this.#tlbs = tlbs;
    return effects;
  }

  #contentEffect(pfn: number, ptes: ReadonlyMap<string, Pte>): string {
    const { machine } = this.#execution.run.world;
    const word = machine.frames.view.getInt32(machine.frames.address(pfn as never, 0), true);
    for (const [name, pte] of ptes) {
      const decoded = decodePte(pte);
      if (decoded.kind === 'present' && decoded.pfn === pfn) return `${name} is ${word}`;
    }
    return `frame ${pfn}, mapped nowhere, is ${word}`;
  }

  #hartOf(threadId: number): number {
    return this.#execution.run.world.taskOfThread.get(threadId)?.hart ?? -1;
  }

  #hartName(hart: number): string {
    return this.#scope.strands[hart]?.name ?? `hart ${hart}`;
  }

  #mms(): (readonly [prefix: string, mm: Mm])[] {
    const { run } = this.#execution;
    const main = run.mainTask.mm;
    return [...run.world.mms].map((mm): [string, Mm] => {
      if (mm === main) return ['', mm];
      const owner = [...run.processes.values(), ...run.tasks].find((t) => t?.mm === mm);
      return [`${owner?.name ?? `mm ${mm.id}`}:`, mm];
    });
  }

  #readPtes(): Map<string, Pte> {
    const ptes = new Map<string, Pte>();
    for (const [prefix, mm] of this.#mms()) {
      for (const [name, address] of this.#places) {
        ptes.set(prefix + name, ptePeek(mm, address) ?? PTE_NONE);
      }
    }
    return ptes;
  }

  #readTlbs(): Map<string, number> {
    const words = new Map<string, number>();
    this.#execution.run.world.machine.tlbs.forEach((tlb, hart) => {
      for (const [name, address] of this.#places) {
        words.set(`${hart} ${name}`, tlb.lookup(address / PAGE));
      }
    });
    return words;
  }

  #slotNames(): Map<number, string> {
    const names = new Map<number, string>();
    for (const [prefix, mm] of this.#mms()) {
      for (const [name, address] of this.#places) {
        const slot = slotPeek(mm, address);
        if (slot >= 0) names.set(slot, `pte ${prefix}${name}`);
      }
    }
    return names;
  }
}

function showPte(pte: Pte): string {
  const decoded = decodePte(pte);
  switch (decoded.kind) {
    case 'present': {
      const flags = decoded.flags.replace(/ ?(young|exec)/g, '').trim();
      return `frame ${decoded.pfn}${flags === '' ? '' : ` ${flags}`}`;
    }
    case 'marker':
      return `marker ${decoded.marks}`;
    default:
      return decoded.kind;
  }
}

function showTlb(word: number): string {
  return `frame ${tlbPfn(word)} ${(word & TLB_W) !== 0 ? 'rw' : 'r'}`;
}
