import { expect, test } from 'vitest';
import { LitmusError } from './error.ts';
import { parseLitmus } from './parse.ts';
import { showTest } from './print.ts';

/** The sketch of doors.md, whole. */
const SKETCH = `
litmus copy-races-remove
"A page that MADV_DONTNEED took away does not come back with the old data."

map A 2 pages anon rw private          # also: shmem F, file F, hugetlb F; shared; thp; addresses in pages
uffd U features event_remove           # opens, API handshake
register U A missing wp

thread vcpu {
  r0 = load A[0]                       # a value, or SEGV, BUS; blocks on a uffd message
}
thread balloon { r1 = madvise A[0] DONTNEED }
daemon thread handler {                # a daemon may wait for ever
  loop { e = read U
         on e.missing { r = copy U e.page from 42 ; on r == EAGAIN { r = copy U e.page from 42 } }
         on e.remove { gone = 1 } }
}
adversary pageout A, khugepaged, migrate A     # background actors
fail alloc 1                                   # at most one allocation fails, at any point

finally { r2 = load A[0] ; p = pagemap A[0] }  # runs after all threads have ended
never "stale data": gone == 1 and r1 == 0 and r2 == 42
never hang
promise wp                                     # an invariant of the API by name
with patch mmap-changing-unlocked breaks "stale data"        # what the shipped corpus expects
on < 6.4 exists r1 == EINVAL                                 # rules per kernel version
`;

test('the sketch of the contract parses, every line of it', () => {
  const t = parseLitmus(SKETCH);
  expect(t.name).toBe('copy-races-remove');
  expect(t.title).toMatch(/^A page that/);
  expect(t.setup.map((s) => (s.kind === 'call' ? s.verb : s.kind))).toEqual([
    'map',
    'uffd',
    'register',
    'adversary',
    'fail',
  ]);
  expect(t.threads.map((x) => [x.name, x.daemon, x.body.length])).toEqual([
    ['vcpu', false, 1],
    ['balloon', false, 1],
    ['handler', true, 1],
  ]);
  expect(t.finally).toHaveLength(2);
  expect(t.rules.map((r) => `${r.kind} ${r.name}`)).toEqual([
    'never stale data',
    'never hang',
    'promise promise wp',
    'exists r1 == EINVAL',
  ]);
  expect(t.rules[3]?.when?.versions).toEqual([{ op: '<', version: '6.4' }]);
  expect(t.expectations[0]?.when.patches).toEqual(['mmap-changing-unlocked']);
});

test('printing a test and parsing it again gives the same text', () => {
  const once = showTest(parseLitmus(SKETCH));
  expect(showTest(parseLitmus(once))).toBe(once);
});

test('several statements stand on a line, blocks on one or many', () => {
  const t = parseLitmus(`litmus x
thread a { r = load A[0]; x = r + 1 ; y = e.page-8
  loop 3 { break } on not (r == 1 or r has wp) { r = 2 } else { fork c { r = 3 } } }
on >= 6.1, < 6.4 with patch p, q holds
with profile 6.1: never r == 1`);
  expect(showTest(t)).toContain(
    'thread a { r = load A[0] ; x = r+1 ; y = e.page-8 ; loop 3 { break } ; ' +
      'on not (r == 1 or r has wp) { r = 2 } else { fork c { r = 3 } } }',
  );
  expect(showTest(t)).toContain('on >= 6.1, < 6.4 with patch p, q holds');
  expect(showTest(t)).toContain('on 6.1 never r == 1');
});

test.each([
  ['', '1:1', 'expected `litmus`, found the end of the file', 'begins with'],
  ['litmus', '1:7', 'expected a name, found the end of the file', ''],
  ['litmus thread', '1:8', 'expected a name, found `thread`', 'choose another name'],
  ['litmus a\nthread t { r = load A[0]', '2:25', 'found the end of the file', 'not closed'],
  ['litmus a\nthread t { r = load A[0 }', '2:25', 'expected `]`, found `}`', ''],
  ['litmus a\nthread t r = load A[0]', '2:10', 'expected `{`', 'thread NAME {'],
  ['litmus a\n"open', '2:1', 'does not end on its line', 'close it'],
  ['litmus a\nmap A // x', '2:7', '`/` cannot stand here', 'begin with #'],
  ['litmus a\nnever r0 = 1', '2:10', '`=` cannot stand here', '=='],
  ['litmus a\nnever "x" r0 == 1', '2:11', 'expected `:`', 'a colon follows'],
  ['litmus a\nnever "x": r0 == ', '2:17', 'found the end of the file', ''],
  ['litmus a\nnever r0 == 1 && r1 == 2', '2:15', '`&` cannot stand here', 'write `and`'],
  ['litmus a\nwith patch breaks', '2:18', 'the end of the file', ''],
  ['litmus a\nwith patch p beaks "x"', '2:14', 'found `beaks`', 'for example'],
  [
    'litmus a\nwith patches p breaks "x"',
    '2:6',
    '`with patches` is not complete',
    'with patch NAME',
  ],
  ['litmus a\nfinally { }\nfinally { }', '3:1', 'a second `finally`', 'into one'],
  ['litmus a\nprocess P { map A 1 page', '2:25', 'found the end of the file', 'not closed'],
  ['litmus a\nmap \u00e9', '2:5', 'character U+00E9', ''],
])('%j is refused at %s', (text, where, message, hint) => {
  let error: unknown = null;
  try {
    parseLitmus(text);
  } catch (e) {
    error = e;
  }
  if (!(error instanceof LitmusError)) throw error;
  expect(`${error.pos.line}:${error.pos.column}`).toBe(where);
  expect(error.message).toContain(message);
  expect(error.hint).toContain(hint);
});
