/** one-way: imports go downward, without cycles, and only to what a layer may know. */
import { posix } from 'node:path';
import {
  at,
  isTest,
  isTypeScript,
  type Node,
  nameOf,
  nodeField,
  type Rule,
  type Source,
  walk,
} from './source.ts';

interface Import {
  readonly specifier: string;
  /** The imported file, for a relative import. */
  readonly target?: string;
  /** `import type`: gone when the program runs. */
  readonly typeOnly: boolean;
  readonly node: Node;
}

const BELOW_KERNEL = ['base', 'uapi', 'sched', 'machine'];

/** What each layer may import besides itself; a layer that is not here is an error. */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  uapi: ['base'],
  sched: ['base', 'uapi'],
  machine: ['base', 'uapi', 'sched'],
  kernel: BELOW_KERNEL,
  explore: ['base', 'sched'],
  run: [...BELOW_KERNEL, 'kernel'],
  litmus: [...BELOW_KERNEL, 'kernel', 'explore'],
  host: [...BELOW_KERNEL, 'kernel', 'explore', 'litmus', 'run'],
  'index.ts': [...BELOW_KERNEL, 'kernel', 'explore', 'litmus', 'run'],
  apps: [...BELOW_KERNEL, 'kernel', 'explore', 'litmus', 'run', 'host', 'index.ts'],
};

/** Packages a layer may use; below `litmus` there is none. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  litmus: ['chevrotain'],
  apps: ['commander'],
};

const MAY_USE_NODE = new Set(['host', 'apps']);

export const importRules: readonly Rule[] = [
  {
    claim: 'imports go downward through the layers',
    check: (sources) => sources.filter(isTypeScript).flatMap(upwardImports),
    bad: [
      { 'src/explore/dfs.ts': "import { vma } from '../kernel/mm/vma.ts';" },
      { 'src/explore/dfs.ts': "import type { Vma } from '../kernel/mm/vma.ts';" },
      { 'src/explore/dfs.test.ts': "import { pte } from '../machine/pte.ts';" },
      { 'src/base/bits.ts': "export { EINVAL } from '../uapi/errno.ts';" },
      { 'src/kernel/mm/vma.ts': "type P = import('../../litmus/parse.ts').P;" },
      { 'src/kernel/mm/vma.ts': "import { run } from '../../run/loop.ts';" },
      { 'src/nowhere/x.ts': '' },
    ],
    good: {
      'src/litmus/build.ts': "import { explore } from '../explore/dfs.ts';",
      'src/kernel/mm/vma.ts': "import { at } from '../../base/assert.ts'; import './mm.ts';",
      'src/machine/tlb.test.ts': "import { explore } from '../explore/dfs.ts';",
    },
  },
  {
    claim: 'a layer uses only the packages it may',
    check: (sources) => sources.filter(isTypeScript).flatMap(foreignPackages),
    bad: [
      { 'src/kernel/mm/vma.ts': "import { readFileSync } from 'node:fs';" },
      { 'src/explore/dfs.ts': "import { Parser } from 'chevrotain';" },
      { 'apps/cli/main.ts': "import { Parser } from 'chevrotain';" },
    ],
    good: {
      'src/litmus/parse.ts': "import { CstParser } from 'chevrotain';",
      'apps/cli/main.ts': "import { Command } from 'commander'; import { join } from 'node:path';",
      'src/host/files.ts': "import { readFileSync } from 'node:fs';",
    },
  },
  {
    claim: 'no import cycles (of imports that exist when the program runs)',
    check: cycles,
    bad: [
      {
        'src/base/a.ts': "import { b } from './b.ts';",
        'src/base/b.ts': "import { c } from './c.ts';",
        'src/base/c.ts': "import { a } from './a.ts';",
      },
    ],
    good: {
      'src/base/a.ts': "import type { B } from './b.ts';",
      'src/base/b.ts': "import { a } from './a.ts';",
    },
  },
  {
    claim: 'no barrel files inside src/kernel',
    check: (sources) => sources.flatMap(barrels),
    bad: [
      { 'src/kernel/mm/index.ts': 'export const x: number = 1;' },
      { 'src/kernel/mm/all.ts': "export * from './vma.ts';" },
    ],
    good: { 'src/kernel/mm/vma.ts': 'export const x: number = 1;' },
  },
];

/** `src/kernel/mm/vma.ts` is of layer `kernel`; `src/index.ts` is one of its own. */
function layerOf(path: string): string | undefined {
  const [top, layer] = path.split('/');
  if (top === 'src') return layer;
  return top === 'apps' ? top : undefined;
}

function importsOf(file: Source): Import[] {
  const found: Import[] = [];
  const add = (node: Node, from: Node | undefined, typeOnly: boolean): void => {
    const specifier = nameOf(from);
    if (specifier === undefined) return;
    const relative = specifier.startsWith('.');
    const target = posix.join(posix.dirname(file.path), specifier);
    found.push({ specifier, ...(relative ? { target } : {}), typeOnly, node });
  };
  const visit = (node: Node): void => {
    const typeOnly = node['importKind'] === 'type' || node['exportKind'] === 'type';
    if (/^(Import|ExportNamed|ExportAll)Declaration$/.test(node.type)) {
      add(node, nodeField(node, 'source'), typeOnly);
    } else if (node.type === 'ImportExpression') {
      add(node, nodeField(node, 'source'), false);
    } else if (node.type === 'TSImportType') {
      add(node, nodeField(node, 'source') ?? nodeField(node, 'argument'), true);
    }
  };
  walk(file.body, visit);
  return found;
}

function upwardImports(file: Source): string[] {
  const layer = layerOf(file.path);
  if (layer === undefined) return [];
  const allowed = LAYERS[layer];
  if (allowed === undefined) return [`${file.path}:1: ${layer} is no layer of design.md`];
  // A test may use what is above its subject, except that the explorer stays ignorant of the kernel.
  if (isTest(file.path) && layer !== 'explore') return [];
  return importsOf(file).flatMap(({ target, node }) => {
    const into = target === undefined ? undefined : layerOf(target);
    if (into === undefined || into === layer || allowed.includes(into)) return [];
    return [at(file, node, `${layer} may not import ${into} (${target})`)];
  });
}

function foreignPackages(file: Source): string[] {
  const layer = layerOf(file.path);
  if (layer === undefined || isTest(file.path)) return [];
  return importsOf(file).flatMap(({ specifier, target, node }) => {
    if (target !== undefined) return [];
    if (specifier.startsWith('node:') && MAY_USE_NODE.has(layer)) return [];
    if ((PACKAGES[layer] ?? []).includes(specifier)) return [];
    return [at(file, node, `${layer} may not use ${specifier}`)];
  });
}

function cycles(sources: readonly Source[]): string[] {
  const edges = new Map<string, string[]>();
  for (const file of sources.filter(isTypeScript)) {
    const targets = importsOf(file).flatMap((i) => (i.target && !i.typeOnly ? [i.target] : []));
    edges.set(file.path, targets);
  }
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const seen = trail.indexOf(path);
    if (seen >= 0) found.push(`${path}:1: cycle ${[...trail.slice(seen), path].join(' -> ')}`);
    if (seen >= 0 || done.has(path)) return;
    for (const target of edges.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  return found;
}

function barrels(file: Source): string[] {
  if (!file.path.startsWith('src/kernel/')) return [];
  if (file.path.endsWith('/index.ts')) return [`${file.path}:1: a barrel file`];
  return file.body
    .filter((node) => node.type === 'ExportAllDeclaration')
    .map((node) => at(file, node, 'export * hides where a name lives'));
}
