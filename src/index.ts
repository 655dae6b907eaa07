/** The library: the kernel, litmus tests and the explorer as a typed API. It runs wherever JavaScript does. */
export { type Explored, type ExploreOptions, explore, type Seen } from './explore/explore.ts';
export type { Execution, Program } from './explore/program.ts';
export { replay } from './explore/replay.ts';
export { decodeSchedule, encodeSchedule, type Schedule } from './explore/schedule.ts';
export { createProcess, createThread, forkTask } from './kernel/core/create.ts';
export { enterWorld } from './kernel/current.ts';
export { userLoad, userStore } from './kernel/mm/user-access.ts';
export { PATCHES, patchByName } from './kernel/patches/table.ts';
export { PROFILES, type Profile, parseProfile } from './kernel/profiles.ts';
export { override, type Patch, type Seam, seam, seams, stackPatches } from './kernel/seam.ts';
export { dispatch, syscallByName } from './kernel/syscall/dispatch.ts';
export { SYSCALLS } from './kernel/syscall/table.ts';
export { World, type WorldOptions } from './kernel/world.ts';
export type { LitmusTest } from './litmus/ast.ts';
export {
  Checked,
  LitmusBuilder,
  litmus,
  loop,
  on,
  onElse,
  type Part,
} from './litmus/builder.ts';
export { type CheckOptions, DEFAULT_OPTIONS, type VariantReport } from './litmus/check.ts';
export { type Diagram, drawExecution } from './litmus/diagram.ts';
export { LitmusError } from './litmus/error.ts';
export { parseLitmus } from './litmus/parse.ts';
export { showTest } from './litmus/print.ts';
export { diagramText, variantText } from './litmus/report.ts';
export { checkTest, compiledFor, runVariant, variantsToRun } from './litmus/suite.ts';
export type { Variant } from './litmus/versions.ts';
export { LITMUS_GEOMETRY, REAL_GEOMETRY } from './machine/geometry.ts';
export type { Op, Steps } from './sched/op.ts';
export { Sched } from './sched/sched.ts';
