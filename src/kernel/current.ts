import { enterMachine } from '../machine/current.ts';
import { enterSched } from '../sched/current.ts';
import type { World } from './world.ts';

/** The World that runs now. Functions of the kernel read it; the run loops set it with `enterWorld`. */
export let world: World = undefined as never as World;

/** Makes a World the current one: its scheduler, its machine, itself. */
export function enterWorld(next: World): void {
  world = next;
  enterMachine(next.machine);
  enterSched(next.sched);
}
