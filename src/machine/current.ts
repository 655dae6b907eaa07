import type { Machine } from './machine.ts';

/** The machine of the World that runs now (see sched/current.ts). */
export let machine: Machine = undefined as never as Machine;

export function enterMachine(next: Machine): void {
  machine = next;
}
