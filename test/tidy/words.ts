/** What no file may say: types that switch the checker off, notes to self, paths of somebody's machine. */
import {
  at,
  eachFile,
  isTest,
  isTypeScript,
  nodeField,
  type Rule,
  type Source,
  walk,
} from './source.ts';

// Put together from pieces, so that this file does not break its own rules.
const NOTES = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].join('|')})\\b`);
const MACHINE_PATH = /(?:^|[\s'"`(=:])\/(?:home|root|Users|work|farm|mnt|build|workspace)\/[\w.-]/;
const SILENCED = /@ts-(?:ignore|nocheck)/;
const EXPECTED = /@ts-(?:expect-error)/;

const home = ['', 'home', 'somebody', 'faultline'].join('/');

export const wordRules: readonly Rule[] = [
  {
    claim: 'no `any`, no cast through `unknown`, no silenced type error',
    check: eachFile(isTypeScript, (file) => [...typeHoles(file), ...silenced(file)]),
    bad: [
      { 'src/a.ts': 'export const x: any = 1;' },
      { 'src/a.ts': 'const x = y as any;' },
      { 'src/a.ts': 'const x = y as unknown as number;' },
      { 'src/a.ts': 'const x = (y as unknown) as number;' },
      { 'src/a.ts': `// @ts-${'ignore'}\nx();` },
      { 'test/a.test.ts': `// @ts-${'nocheck'}\nx();` },
      { 'src/a.ts': `// @ts-expect-${'error'}: why\nx();` },
    ],
    good: {
      'src/a.ts': 'const any = 1; const x = y as unknown; const s = "as any";',
      'src/a.test.ts': `// @ts-expect-${'error'}: a Vaddr is no Pfn\nx();`,
    },
  },
  {
    claim: 'no notes to self: what is left to do is an issue',
    check: eachFile(
      () => true,
      (file) => matches(file, NOTES, 'a note to self'),
    ),
    bad: ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X'].map((word) => ({
      'src/a.ts': `// ${word}: later`,
    })),
    good: { 'src/a.ts': '// todo lists are fine; so is mktemp -p XXXXXX' },
  },
  {
    claim: "no path of somebody's machine",
    check: eachFile(
      () => true,
      (file) => matches(file, MACHINE_PATH, 'an absolute path of a machine'),
    ),
    bad: [{ 'docs/a.md': `see ${home}/a.ts` }, { 'src/a.ts': `const p = '${home}';` }],
    good: { 'docs/a.md': 'see src/work/a.ts, /proc/self/maps and https://example.org/home/x' },
  },
];

function typeHoles(file: Source): string[] {
  const found: string[] = [];
  walk(file.body, (node) => {
    if (node.type === 'TSAnyKeyword') found.push(at(file, node, 'any'));
    if (node.type !== 'TSAsExpression') return;
    let inner = nodeField(node, 'expression');
    while (inner?.type === 'ParenthesizedExpression') inner = nodeField(inner, 'expression');
    const through =
      inner?.type === 'TSAsExpression' ? nodeField(inner, 'typeAnnotation') : undefined;
    if (through?.type === 'TSUnknownKeyword') found.push(at(file, node, 'a cast through unknown'));
  });
  return found;
}

function silenced(file: Source): string[] {
  const found = matches(file, SILENCED, 'a silenced type error');
  // A test may say that a line does not compile: that is how brands are tested.
  return isTest(file.path)
    ? found
    : [...found, ...matches(file, EXPECTED, 'a silenced type error')];
}

function matches(file: Source, pattern: RegExp, what: string): string[] {
  return file.text
    .split('\n')
    .flatMap((line, index) => (pattern.test(line) ? [`${file.path}:${index + 1}: ${what}`] : []));
}
