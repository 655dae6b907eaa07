import { expect, test } from 'vitest';
import { DEFAULT_OPTIONS } from './check.ts';
import { LitmusError } from './error.ts';
import { parseLitmus } from './parse.ts';
import { FILE_DECIDES, runVariant, variantsToRun } from './suite.ts';

/** Everything that `check` does before it explores. */
function refused(body: string): LitmusError {
  try {
    const t = parseLitmus(`litmus x\n${body}`);
    for (const variant of variantsToRun(t, FILE_DECIDES)) {
      runVariant(t, variant, { ...DEFAULT_OPTIONS, max: 1 });
    }
  } catch (error) {
    if (error instanceof LitmusError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

const T = 'thread t { r0 = load A[0] }';
const A = 'map A 2 pages anon rw private';

test.each([
  ['', '1:1', 'the test has no thread', 'thread NAME'],
  [`${T}`, '2:22', 'no region is called A', 'map A 1 page'],
  [
    `${A}\nmap Blob 1 page\nthread t { r0 = load Blbo[0] }`,
    '4:22',
    'no region is called Blbo',
    'did you mean `Blob`?',
  ],
  [`${A}\nthread t { r0 = load A[2] }`, '3:22', 'A has 2 pages', 'the last one is A[1]'],
  [`${A}\nthread t { r0 = load A[1..0] }`, '3:22', 'ends before it begins', 'both ends'],
  [
    `${A}\nthread t { r0 = laod A[0] }`,
    '3:17',
    'no statement or system call laod',
    'did you mean `load`?',
  ],
  [`${A}\nthred t { r0 = load A[0] }`, '3:1', 'thred takes no block', 'did you mean `thread`?'],
  [`${A}\nthread t { load }`, '3:12', 'load wants a page', 'load A[0]'],
  [`${A}\nthread t { store A[0] }`, '3:12', 'store wants a value', 'store A[0] 1'],
  [`${A}\nthread t { store A[0] 1 2 }`, '3:25', 'takes no more arguments', 'store A[0] 1'],
  [`${A}\nthread t { store A[0] val }`, '3:23', 'val is no register', 'assign it first'],
  [
    `${A}\nthread t { r1 = 1 }\nthread u { store A[0] r1 }`,
    '4:23',
    'belongs to thread t',
    'store and load',
  ],
  [`${A}\nthread t { r0 = madvise A[0] DONTNED }`, '3:30', 'knows no flag DONTNED', 'DONTNEED'],
  [`${A}\nthread t { r0 = madvise A[0] }`, '3:17', 'madvise wants', 'madvise '],
  [`${A}\nthread t { r0 = clone 0 }`, '3:17', 'not yet: clone(2)', ''],
  [`${A}\nuffd U features evnt_remove\n${T}`, '3:17', 'no feature evnt_remove', 'event_remove'],
  [`${A}\nuffd U\nregister V A missing\n${T}`, '4:10', 'no file is called V', 'did you mean `U`?'],
  [`${A}\nuffd U\nregister U A mising\n${T}`, '4:14', 'no mode mising', 'did you mean `missing`?'],
  [`${A}\nuffd U\nthread t { copy U A[0] 42 }`, '4:24', 'copy wants `from`', 'from 42'],
  [`${A}\nmap A 1 page\n${T}`, '3:5', 'already the name', 'another'],
  [`map F 1 page file\n${T}`, '2:14', '`file` wants the name of a file', 'file F 2 pages'],
  [`map F 1 page shmem G\n${T}`, '2:20', 'no memfd is called G', 'memfd F 2 pages'],
  [`map A 1 page anoon\n${T}`, '2:14', 'map knows no anoon', 'did you mean `anon`?'],
  [`map A 99 pages\n${T}`, '2:7', '1 to 64 pages', ''],
  [`${A}\nfail alloc 9\n${T}`, '3:1', '1 to 3 allocations', 'fail alloc 1'],
  [`${A}\nfail fork\n${T}`, '3:1', 'only allocations', 'fail alloc 1'],
  [`${A}\ngeometry tabel 4\n${T}`, '3:10', 'geometry knows no tabel', 'did you mean `table`?'],
  [`map A 1 page anon thp\n${T}`, '2:19', 'map knows no thp', 'config thp'],
  [`${A}\ngeometry table 3\n${T}`, '3:10', 'power of two', ''],
  [`${A}\n${T}\n${T}`, '4:8', 'a second thread called t', 'rename'],
  [`${A}\n${T}\nnever "x": r7 == 1`, '4:12', 'r7 is no register', ''],
  [`${A}\n${T}\nnever "x": A[0] has prsent`, '4:21', 'no page flag is called prsent', '`present`'],
  [
    `${A}\n${T}\nthread u { r0 = 1 }\nnever "x": r0 == 1`,
    '5:12',
    'r0 is a register of t and u',
    'write t.r0',
  ],
  [`${A}\n${T}\nnever "x": t.r5 == 1`, '4:12', 'thread t has no register r5', 'did you mean `r0`?'],
  [
    `${A}\n${T}\nnever "x": r0 == 1\nnever "x": r0 == 1`,
    '5:1',
    'a second rule called "x"',
    'rename',
  ],
  [`${A}\n${T}\npromise mode`, '4:9', 'not yet: promise mode', 'promise wp'],
  [`${A}\n${T}\npromise wpp`, '4:9', 'no promise is called wpp', '`wp`'],
  [
    `${A}\n${T}\nwith patch wp-noflush holds`,
    '4:1',
    'no patch is called wp-noflush',
    '`wp-no-flush`',
  ],
  [
    `${A}\n${T}\nnever "x": r0 == 1\nwith patch wp-no-flush breaks "y"`,
    '5:1',
    'no rule is called "y"',
    '',
  ],
  [`${A}\nuffd U\nr0 = read U\n${T}`, '4:6', 'set-up waits for ever', 'put it into a thread'],
  [
    `${A}\nuffd U\nunregister U A[0]+1\n${T}`,
    '4:1',
    'set-up fails: unregister U A[0]+1 gives EINVAL',
    'keep the result',
  ],
  [
    `${A}\nprocess P { thread t { r0 = load A[0] } }`,
    '3:34',
    'A is mapped in the main process',
    'its own process',
  ],
  [
    `process P { map A 1 page }\nthread t { store A[0] 1 }`,
    '3:18',
    'A is mapped in process P',
    'its own process',
  ],
  [`${A}\nconfig softdirty\n${T}`, '3:8', 'no kernel is built with softdirty', 'soft-dirty'],
  [`${A}\nthread t { break }`, '3:12', '`break` stands outside a loop', ''],
  [`${A}\nthread t { loop { } }`, '3:12', 'never ends', ''],
  [`${A}\nthread t { fork { r0 = 1 } }`, '3:12', '`fork` wants a name', 'fork child {'],
  [`${A}\nthread t { wait q }`, '3:17', 'no thread is called q', ''],
  [`${A}\nthread t { wait t }`, '3:17', 'cannot wait for itself', ''],
  [
    `${A}\nuffd U\nthread t { e = read U ; on e.mising { r0 = 1 } }`,
    '4:28',
    'a message has no mising',
    '`missing`',
  ],
])('%j is refused at %s', (body, where, message, hint) => {
  const error = refused(body);
  expect(`${error.pos.line}:${error.pos.column} ${error.message}`).toContain(`${where} `);
  expect(error.message).toContain(message);
  expect(error.hint).toContain(hint);
});

test('processes share descriptors and nothing else', () => {
  const t = parseLitmus(`litmus x
memfd F 1 page
map A 1 page shmem F
process P {
  map B 1 page shmem F
  map C 1 page anon rw private
  uffd V
  register V C missing
  thread other { r0 = load C[0] ; store B[0] r0 }
}
thread here { r1 = copy V C[0] from 7 ; wait other ; r2 = load A[0] }
process P { thread more { r3 = madvise A[0] DONTNEED } }
always "together": r1 == 0 and r2 == 7 and C[0] == 7
always "A is not mapped there": r3 == ENOMEM
`);
  const report = runVariant(t, { profile: '6.18', patches: [] }, DEFAULT_OPTIONS);
  expect(report.verdict).toBe('holds');
});

test('a message says file, line, column and what to do', () => {
  const error = refused(`${A}\nthread t { r0 = load A[2] }`);
  expect(error.show('x.flt')).toBe(
    'x.flt:3:22: A has 2 pages, there is no A[2]\n  hint: the last one is A[1]',
  );
});
