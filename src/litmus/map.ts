/** `map A 2 pages anon rw private`, `map A 2 pages shmem F from 1`: a mapping with a name, or a new mapping over pages that have one. */
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
} from '../uapi/mman.ts';
import type { Operand, Pos } from './ast.ts';
import { type Call, resultOf, rowOf } from './calls.ts';
import { didYouMean, LitmusError } from './error.ts';
import { liftingCall } from './lifting.ts';
import { protLetters, type Range, rangeOf } from './operands.ts';
import { PAGE, type Scope, type Strand } from './scope.ts';

interface MapContext {
  readonly scope: Scope;
  readonly strand: Strand;
  readonly operands: readonly Operand[];
  readonly pos: Pos;
}

const USAGE = 'map A 2 pages anon rw private';
const THP_HINT =
  'transparent huge pages: `config thp-always`, or `config thp` and `madvise A HUGEPAGE`';
export const MAP_WORDS: readonly string[] = [
  'anon',
  'shmem',
  'file',
  'hugetlb',
  'private',
  'shared',
  'populate',
  'noreserve',
  'locked',
  'rw',
  'r',
  'none',
];

interface Wanted {
  pages: number;
  at: number | null;
  prot: number;
  flags: number;
  /** Null: as what is mapped asks for, shared for a file and private for anonymous memory. */
  shared: boolean | null;
  /** The slot of a file; null: anonymous memory. */
  file: number | null;
  /** The first page of the file. */
  from: number;
}

export function compileMap(c: MapContext): Call {
  const [name] = c.operands;
  if (name?.kind === 'place') return remap(c, name);
  if (name?.kind !== 'word') throw new LitmusError('map wants a name', name?.pos ?? c.pos, USAGE);
  const wanted = readWords(c);
  if (c.scope.regions.has(name.name) && c.strand.kind !== 'setup') return remap(c, name);
  if (c.strand.kind !== 'setup') {
    throw new LitmusError(
      `no region is called ${name.name}`,
      name.pos,
      'regions get their names in the set-up; here they can only be mapped anew',
    );
  }
  const region = c.scope.addRegion(name.name, wanted.pages, wanted.at, name.pos, c.strand.process);
  return mapping(wanted, {
    start: () => region.start,
    length: () => region.pages * PAGE,
  });
}

/** Maps afresh over what is there. */
function remap(c: MapContext, place: Operand): Call {
  const range = rangeOf(c.scope, c.strand, place);
  return liftingCall([range], mapping(readWords(c), range));
}

function mapping(wanted: Wanted, range: Range): Call {
  const { handler } = rowOf('mmap');
  const { file } = wanted;
  const type = (wanted.shared ?? file !== null) ? MAP_SHARED : MAP_PRIVATE;
  const flags = wanted.flags | type | MAP_FIXED | (file === null ? MAP_ANONYMOUS : 0);
  return function* (run, task) {
    const fd = file === null ? -1 : (run.fds[file] ?? -1);
    const offset = wanted.from * PAGE;
    const args = [range.start(run), range.length(run), wanted.prot, flags, fd, offset];
    const result = yield* handler(task, args);
    return result > 0 ? 0 : resultOf(result);
  };
}

function readWords(c: MapContext): Wanted {
  const wanted: Wanted = {
    pages: 1,
    at: null,
    prot: 3,
    flags: 0,
    shared: null,
    file: null,
    from: 0,
  };
  const rest = c.operands.slice(1);
  for (let i = 0; i < rest.length; i++) {
    const operand = rest[i];
    const next = rest[i + 1];
    if (operand?.kind === 'number') {
      if (next?.kind !== 'word' || !['page', 'pages'].includes(next.name)) {
        throw new LitmusError('a number of pages is wanted', operand.pos, USAGE);
      }
      if (operand.value < 1 || operand.value > 64) {
        throw new LitmusError('a region has 1 to 64 pages', operand.pos, USAGE);
      }
      wanted.pages = operand.value;
      i++;
    } else if (operand?.kind === 'word' && operand.name === 'at') {
      if (next?.kind !== 'number' || next.value < 16) {
        throw new LitmusError('`at` wants a page number from 16 on', operand.pos, 'at 512');
      }
      wanted.at = next.value;
      i++;
    } else if (operand?.kind === 'word' && operand.name === 'from') {
      if (next?.kind !== 'number' || next.value < 0) {
        throw new LitmusError('`from` wants a page of the file', operand.pos, 'from 1');
      }
      wanted.from = next.value;
      i++;
    } else if (operand?.kind === 'word' && operand.name === 'hugetlb') {
      // A file of huge pages, or huge pages without a name.
      if (next?.kind === 'word' && c.scope.memfds.has(next.name)) {
        wanted.file = fileNamed(c.scope, 'shmem', next, operand.pos);
        i++;
      } else wanted.flags |= MAP_HUGETLB;
    } else if (operand?.kind === 'word' && (operand.name === 'shmem' || operand.name === 'file')) {
      wanted.file = fileNamed(c.scope, operand.name, next, operand.pos);
      i++;
    } else if (operand !== undefined) {
      readWord(wanted, operand);
    }
  }
  return wanted;
}

function readWord(wanted: Wanted, operand: Operand): void {
  const name = operand.kind === 'word' ? operand.name : '';
  const prot = protLetters(name);
  if (prot !== null) wanted.prot = prot;
  else if (name === 'populate') wanted.flags |= MAP_POPULATE;
  else if (name === 'noreserve') wanted.flags |= MAP_NORESERVE;
  else if (name === 'locked') wanted.flags |= MAP_LOCKED;
  else if (name === 'shared' || name === 'private') wanted.shared = name === 'shared';
  else if (name !== 'anon') {
    const what = name === '' ? 'a word is wanted here' : `map knows no ${name}`;
    throw new LitmusError(
      what,
      operand.pos,
      name === 'thp' ? THP_HINT : didYouMean(name, MAP_WORDS),
    );
  }
}

/** The file in `shmem F` or `file F`. */
function fileNamed(
  scope: Scope,
  kind: 'shmem' | 'file',
  operand: Operand | undefined,
  pos: Pos,
): number {
  const name = operand?.kind === 'word' ? operand.name : '';
  const known = kind === 'shmem' ? scope.memfds : scope.disks;
  const slot = scope.files.get(name);
  if (slot !== undefined && known.has(name)) return slot;
  const what = kind === 'shmem' ? 'memfd' : 'file';
  throw new LitmusError(
    name === '' ? `\`${kind}\` wants the name of a ${what}` : `no ${what} is called ${name}`,
    operand?.pos ?? pos,
    didYouMean(name, known, `a ${what} is made by: ${what} F 2 pages`),
  );
}
