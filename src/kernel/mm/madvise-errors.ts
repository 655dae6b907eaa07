/** Why madvise(2) fails, in the kernel's order. */
import { errnoTable } from '../errno-row.ts';

export const MADVISE_ERRORS = errnoTable('madvise', {
  unknown: ['EINVAL', 'no such advice'],
  unaligned: ['EINVAL', 'addr is not a multiple of the page size'],
  wraps: ['EINVAL', 'addr + len is beyond the end of the address space'],
  kind: ['EINVAL', 'this advice does not suit this kind of mapping'],
  locked: ['EINVAL', 'the mapping is locked into memory'],
  notShared: ['EACCES', 'the mapping is private, or may never be written'],
  sealed: ['EPERM', 'the mapping is sealed and not writable'],
  guardKind: ['EINVAL', 'guards cannot be in this kind of mapping, nor be put into a locked one'],
  guardMemory: ['ENOMEM', 'no memory for a page table or an anon_vma'],
  guardRace: ['EAGAIN', 'a fault put a page back meanwhile (the order of the first proposal)'],
  cutsHuge: ['EINVAL', 'a mapping of huge pages would be cut within one of them'],
  tooMany: ['EAGAIN', 'changing part of a mapping would make more mappings than max_map_count'],
  gone: ['ENOMEM', 'the mapping went away while its monitor was told of the removal'],
  collapseUnfit: [
    'EINVAL',
    'no huge page fits, or a page is missing its like: nothing mapped, a marker, a copy',
  ],
  collapseHoles: ['EBUSY', 'pages are missing that user space wants to fill'],
  collapseBusy: ['EAGAIN', 'a page is in use by somebody else'],
  collapseMemory: ['ENOMEM', 'no run of free frames for a huge page'],
  populate: ['EINVAL', 'the mapping does not allow the access'],
  fault: ['EFAULT', 'an access would have raised a signal'],
  poison: ['EHWPOISON', 'a page is poisoned'],
  killed: ['EINTR', 'a fatal signal arrived'],
  hole: ['ENOMEM', 'part of the range is not mapped; the rest was done'],
});
