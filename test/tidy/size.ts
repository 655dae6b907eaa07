/** one-room: a file is one concept that a reader can hold; a function fits a screen. */
import {
  children,
  eachFile,
  isTest,
  isTypeScript,
  lineCount,
  lineOf,
  type Node,
  nameOf,
  nodeField,
  type Rule,
  type Source,
} from './source.ts';

const HARD_FILE_LINES = 700;
const SOFT_FILE_LINES = 400;
const FUNCTION_LINES = 70;
const SIZED = /^(src|apps|test|bench)\//;

/** Files over the soft cap, each with the reason why it stays whole. Must be exactly the files that are over it. */
export const LONG_FILES: Readonly<Record<string, string>> = {
  'src/kernel/mm/userfaultfd-move.ts':
    'one page on its way, and every look that is repeated under the next lock',
};

/** Functions over the cap as `path#name`, each with its reason. Must be exactly the functions that are over it. */
export const LONG_FUNCTIONS: Readonly<Record<string, string>> = {};

const lines = (count: number): string => 'x;\n'.repeat(count);

export const sizeRules: readonly Rule[] = [
  {
    claim: `no file is over ${HARD_FILE_LINES} lines`,
    check: eachFile(
      (file) => isTypeScript(file) && SIZED.test(file.path),
      (file) =>
        lineCount(file) > HARD_FILE_LINES ? [`${file.path}:1: ${lineCount(file)} lines`] : [],
    ),
    bad: [{ 'src/kernel/mm/huge.ts': lines(701) }, { 'test/huge.test.ts': lines(701) }],
    good: { 'src/kernel/mm/huge.ts': lines(700) },
  },
  {
    claim: `files over ${SOFT_FILE_LINES} lines are exactly those that LONG_FILES gives a reason for`,
    check: (sources) => unexplained('LONG_FILES', LONG_FILES, longFiles(sources)),
    bad: [{ 'src/kernel/mm/long.ts': lines(401) }],
    good: { 'src/kernel/mm/short.ts': lines(400) },
  },
  {
    claim: `functions over ${FUNCTION_LINES} lines are exactly those that LONG_FUNCTIONS gives a reason for`,
    check: (sources) => unexplained('LONG_FUNCTIONS', LONG_FUNCTIONS, longFunctions(sources)),
    bad: [
      { 'src/a.ts': `export function f(): void {\n${lines(69)}}` },
      { 'src/a.ts': `const f = function* () {\n${lines(69)}};` },
      { 'src/a.ts': `class C { m() {\n${lines(69)}} }` },
    ],
    good: {
      'src/a.ts': `function f() {\n${lines(68)}}`,
      'src/a.test.ts': `describe('x', () => {\n${lines(200)}});`,
    },
  },
];

/** What is over the cap without a reason; that no reason is left over is checked by `outlived`. */
function unexplained(
  name: string,
  allowed: Readonly<Record<string, string>>,
  found: ReadonlyMap<string, string>,
): string[] {
  return [...found]
    .filter(([key]) => !(key in allowed))
    .map(([key, what]) => `${key}: ${what}; split it, or give ${name} a reason`);
}

/** Keys of `allowed` that nothing needs any more. */
export function outlived(
  allowed: Readonly<Record<string, string>>,
  found: ReadonlyMap<string, string>,
): string[] {
  return Object.keys(allowed).filter((key) => !found.has(key));
}

export function longFiles(sources: readonly Source[]): Map<string, string> {
  const long = sources.filter(
    (file) => isTypeScript(file) && SIZED.test(file.path) && lineCount(file) > SOFT_FILE_LINES,
  );
  return new Map(long.map((file) => [file.path, `${lineCount(file)} lines`]));
}

/** Tests are exempt: a `describe` is a chapter, not a function. */
export function longFunctions(sources: readonly Source[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of sources) {
    if (isTypeScript(file) && !isTest(file.path)) addLongFunctions(file, found);
  }
  return found;
}

function addLongFunctions(file: Source, found: Map<string, string>): void {
  const visit = (node: Node, name: string): void => {
    const own = nameOf(nodeField(node, 'id')) ?? nameOf(nodeField(node, 'key'));
    const here = own ?? name;
    if (/^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) {
      const count = lineOf(file, node.end) - lineOf(file, node.start) + 1;
      if (count > FUNCTION_LINES) found.set(`${file.path}#${here}`, `${count} lines`);
    }
    for (const child of children(node)) visit(child, here);
  };
  for (const node of file.body) visit(node, 'module');
}
