/** What the rules of the tidy test read: files with their text and, for TypeScript, their syntax tree. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAst } from 'vite';

/** A node of the syntax tree (ESTree with TypeScript's nodes), as far as the rules look. */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

export interface Source {
  /** Relative to the repository's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** The nodes of the module's top level; empty for a file that is not TypeScript. */
  readonly body: readonly Node[];
}

/** A rule gives one line a violation: `path:line: what is wrong`. */
export interface Rule {
  /** What holds when the rule does; also the title of its test. */
  readonly claim: string;
  check(sources: readonly Source[]): string[];
  /** Files that break the rule and files that do not, so that the rule itself is tested. */
  readonly bad: readonly Readonly<Record<string, string>>[];
  readonly good: Readonly<Record<string, string>>;
}

const FOLDERS = [
  'src',
  'apps',
  'test',
  'bench',
  'scripts',
  'docs',
  'litmus',
  'examples',
  'bin',
  '.ci',
];
const SKIPPED = /(^|\/)(node_modules|dist|native|examples\/guest\/bin)(\/|$)/;
const TEXT = /\.(ts|js|mjs|md|json|flt|c|h|sh)$|(^|\/)Makefile$|^\.ci\/run$/;

/** Every text file of the repository that people write, in a fixed order. */
export function repositorySources(root: string): Source[] {
  const inFolder = (folder: string): string[] => {
    try {
      return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map(
        (name) => `${folder}/${name.replaceAll('\\', '/')}`,
      );
    } catch {
      return []; // a folder of a later issue
    }
  };
  const paths = [...readdirSync(root), ...FOLDERS.flatMap(inFolder)];
  return paths
    .filter((path) => TEXT.test(path) && !SKIPPED.test(path) && path !== 'package-lock.json')
    .sort()
    .map((path) => source(path, readFileSync(join(root, path), 'utf8')));
}

export function source(path: string, text: string): Source {
  if (!path.endsWith('.ts')) return { path, text, body: [] };
  const lang = path.endsWith('.d.ts') ? 'dts' : 'ts';
  const program = parseAst(text, { lang }) as { body: readonly unknown[] };
  return { path, text, body: program.body.filter(isNode) };
}

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value;
}

/** The nodes right below a node, in source order of their fields. */
export function children(node: Node): Node[] {
  const found: Node[] = [];
  for (const value of Object.values(node)) {
    for (const item of Array.isArray(value) ? value : [value]) if (isNode(item)) found.push(item);
  }
  return found;
}

/** Visits every node below `nodes`, parents first. */
export function walk(nodes: readonly Node[], visit: (node: Node, parent?: Node) => void): void {
  const go = (node: Node, parent?: Node): void => {
    visit(node, parent);
    for (const child of children(node)) go(child, node);
  };
  for (const node of nodes) go(node);
}

export function lineOf(file: Source, offset: number): number {
  return file.text.slice(0, offset).split('\n').length;
}

export function lineCount(file: Source): number {
  return file.text.replace(/\n$/, '').split('\n').length;
}

/** The violation line for a node. */
export function at(file: Source, node: Node, what: string): string {
  return `${file.path}:${lineOf(file, node.start)}: ${what}`;
}

export function nodeField(node: Node | undefined, key: string): Node | undefined {
  const value = node?.[key];
  return isNode(value) ? value : undefined;
}

export function nameOf(node: Node | undefined): string | undefined {
  const name = node?.['name'] ?? node?.['value'];
  return typeof name === 'string' ? name : undefined;
}

export const isTest = (path: string): boolean => path.endsWith('.test.ts');
export const isTypeScript = (file: Source): boolean => file.path.endsWith('.ts');
/** The core: what the schedule alone decides. */
export const isCore = (file: Source): boolean =>
  isTypeScript(file) &&
  file.path.startsWith('src/') &&
  !file.path.startsWith('src/host/') &&
  !isTest(file.path);

/** A rule that looks at one file at a time. */
export function eachFile(
  which: (file: Source) => boolean,
  check: (file: Source) => string[],
): Rule['check'] {
  return (sources) => sources.filter(which).flatMap(check);
}
