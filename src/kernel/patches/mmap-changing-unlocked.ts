import { access } from '../../sched/access.ts';
import { ADD } from '../../sched/cell.ts';
import { sched } from '../../sched/current.ts';
import { raiseMmapChanging } from '../fs/userfaultfd-events.ts';
import { override, type Patch } from '../seam.ts';

/** A fill that looked at the counter before it was raised installs its page after the event was read. */
export const mmapChangingUnlocked: Patch = {
  name: 'mmap-changing-unlocked',
  title: 'mmap_changing is raised without map_changing_lock: fills under way are not waited for',
  reference: '5e4c24a57b0c',
  versions: '<6.9',
  overrides: [
    override(
      raiseMmapChanging,
      () =>
        function* (ctx) {
          if (sched.wants()) yield* access('mmap_changing++', ctx.changingCell, ADD);
          ctx.addMmapChanging(1);
        },
    ),
  ],
};
