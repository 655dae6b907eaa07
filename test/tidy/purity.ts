/** pure-core and colour-is-contract: nothing outside the schedule decides anything in the core. */
import {
  at,
  children,
  eachFile,
  isCore,
  type Node,
  nameOf,
  nodeField,
  type Rule,
  type Source,
  walk,
} from './source.ts';

/** What the host would decide: time, chance, its own scheduling, its collector, its streams. */
const HOST_NAMES = new Set(
  (
    'Date performance Promise WeakRef FinalizationRegistry process console crypto Atomics globalThis ' +
    'setTimeout clearTimeout setInterval setImmediate queueMicrotask requestAnimationFrame ' +
    'Intl require Buffer window self document navigator Worker fetch'
  ).split(' '),
);

/** Members of otherwise harmless objects. */
const HOST_MEMBERS = new Set(['Math.random', 'import.meta']);
const LOCALE_METHODS = /^(toLocale\w+|localeCompare)$/;

/** The World of the run loop, and the table of seams: decision 8's exceptions. */
export const MODULE_STATE: Readonly<Record<string, string>> = {
  'src/sched/current.ts': 'the scheduler whose turn it is',
  'src/machine/current.ts': 'the machine whose turn it is',
  'src/kernel/current.ts': 'the World whose turn it is',
  'src/kernel/seam.ts': 'the registry of seams, filled while modules load and constant afterwards',
};

export const purityRules: readonly Rule[] = [
  {
    claim: 'the core takes nothing from the host: time, chance, promises, timers, streams',
    check: eachFile(isCore, hostNames),
    bad: [
      { 'src/kernel/a.ts': 'export const t = Date.now();' },
      { 'src/base/a.ts': 'const r = Math.random();' },
      { 'src/sched/a.ts': 'setTimeout(() => 1, 2);' },
      { 'src/run/a.ts': 'const now = performance.now;' },
      { 'src/litmus/a.ts': 'export function f(): Promise<void> { return g(); }' },
      { 'src/explore/a.ts': 'export async function f(): P { return 1; }' },
      { 'src/explore/a.ts': 'await x; for await (const x of y) z(x);' },
      { 'src/machine/a.ts': 'const w = new WeakRef(x);' },
      { 'src/machine/a.ts': 'const w = new FinalizationRegistry(x);' },
      { 'src/machine/a.ts': 'crypto.getRandomValues(x);' },
      { 'src/machine/a.ts': 'process.exit(1);' },
      { 'src/machine/a.ts': 'console.log(1);' },
      { 'src/machine/a.ts': 'queueMicrotask(f); setInterval(f, 1);' },
      { 'src/machine/a.ts': "const d = globalThis['Date'];" },
      { 'src/machine/a.ts': 'const u = import.meta.url;' },
      { 'src/machine/a.ts': 'names.sort((a, b) => a.localeCompare(b));' },
      { 'src/machine/a.ts': "const m = import('./late.ts');" },
    ],
    good: {
      'src/kernel/a.ts':
        'export function f(process: P): number { return process.date + clock.now(); }',
      'src/kernel/b.ts': 'const a = { Date: 1 }.Date; const m = Math.max(1, 2); // Date.now()',
      'src/host/a.ts': 'console.log(Date.now(), Math.random());',
      'src/kernel/a.test.ts': 'console.log(performance.now());',
    },
  },
  {
    claim: 'the core has no module state but the documented current World and seams',
    check: eachFile((file) => isCore(file) && !(file.path in MODULE_STATE), moduleState),
    bad: [
      { 'src/kernel/a.ts': 'let n = 0;' },
      { 'src/kernel/a.ts': 'export var n = 0;' },
      { 'src/kernel/a.ts': 'const cache = new Map<string, number>();' },
      { 'src/kernel/a.ts': 'export const all: string[] = [];' },
      { 'src/kernel/a.ts': 'const SEEN = new Set<number>();' },
      { 'src/kernel/a.ts': 'class C { static n = 0; }' },
    ],
    good: {
      'src/kernel/a.ts':
        'const table = [1, 2]; const NONE: Table = []; const none: readonly P[] = []; const by = new Map([[1, 2]]); function f() { let n = 0; return n; } class C { static readonly N = 1; }',
      'src/sched/current.ts': 'let current: Sched | undefined;',
    },
  },
  {
    claim: 'a bare yield stands only in src/sched',
    check: eachFile((file) => isCore(file) && !file.path.startsWith('src/sched/'), bareYields),
    bad: [
      { 'src/kernel/a.ts': 'function* f() { yield 1; }' },
      { 'src/machine/a.ts': 'function* f() { const x = yield; }' },
      { 'src/kernel/a.ts': 'function* f(): Steps<void> { yield op; }' },
      { 'src/kernel/a.ts': 'function* f(): Generator<Op, void, number> { yield op; }' },
    ],
    good: {
      'src/kernel/a.ts': 'function* f() { yield* g(); } // yield 1',
      'src/sched/a.ts': 'function* f() { yield op; }',
      'src/base/a.ts': 'class C { *entries(): Generator<number> { yield 1; } }',
    },
  },
  {
    claim: 'what hangs on a World is in plain fields: a Checkpoint does not see #private ones',
    check: eachFile(isWorldState, hiddenFields),
    bad: [
      { 'src/kernel/a.ts': 'class C { #n = 0; }' },
      { 'src/kernel/mm/a.ts': 'class C { readonly #all: Map<number, P> = new Map(); }' },
      { 'src/sched/a.ts': 'class C { static readonly N = 1; #n: number; }' },
      { 'src/machine/a.ts': 'class C { #n; }' },
      { 'src/base/a.ts': 'const c = class { #n = 1; };' },
    ],
    good: {
      'src/kernel/a.ts': 'class C { private n = 0; #look(): number { return this.n; } }',
      'src/kernel/a.test.ts': 'class C { #n = 0; }',
      'src/explore/a.ts': 'class C { #n = 0; }',
      'src/machine/riscv/a.ts': 'class C { #n = 0; }',
    },
  },
];

/** Files whose objects a litmus World may reach. */
function isWorldState(file: Source): boolean {
  return (
    isCore(file) &&
    /^src\/(base|sched|machine|kernel|litmus\/(promise|state))\b/.test(file.path) &&
    !file.path.startsWith('src/machine/riscv/')
  );
}

function hiddenFields(file: Source): string[] {
  const found: string[] = [];
  walk(file.body, (node) => {
    if (node.type !== 'PropertyDefinition') return;
    const key = nodeField(node, 'key');
    if (key?.type !== 'PrivateIdentifier') return;
    found.push(at(file, node, `#${nameOf(key)} is hidden; private ${nameOf(key)} is not`));
  });
  return found;
}

function hostNames(file: Source): string[] {
  const declared = declaredNames(file);
  const found: string[] = [];
  walk(file.body, (node, parent) => {
    if (node['async'] === true) found.push(at(file, node, 'an async function'));
    if (node.type === 'AwaitExpression' || node['await'] === true) {
      found.push(at(file, node, 'await'));
    }
    if (node.type === 'ImportExpression') found.push(at(file, node, 'a dynamic import'));
    const member = memberName(node);
    if (member && (HOST_MEMBERS.has(member) || LOCALE_METHODS.test(member.replace(/^.*\./, '')))) {
      found.push(at(file, node, `${member} is the host's`));
    }
    const name = node.type === 'Identifier' ? nameOf(node) : undefined;
    if (name === undefined || !HOST_NAMES.has(name) || declared.has(name)) return;
    if (!isPlainKey(node, parent)) found.push(at(file, node, `${name} is the host's`));
  });
  return found;
}

/** Names the file itself introduces: its imports, variables, functions, parameters and types. */
function declaredNames(file: Source): Set<string> {
  const names = new Set<string>();
  const add = (node: Node | undefined): void => {
    const name = node?.type === 'Identifier' ? nameOf(node) : undefined;
    if (name !== undefined) names.add(name);
  };
  walk(file.body, (node) => {
    add(nodeField(node, 'id'));
    add(nodeField(node, 'local'));
    const params = node['params'];
    if (Array.isArray(params)) for (const param of params) add(param as Node);
    if (node.type === 'VariableDeclarator' || node.type === 'Property')
      add(nodeField(node, 'value'));
  });
  return names;
}

/** `x.Date`, `{ Date: 1 }` and the like name a field, not the host's object. */
function isPlainKey(node: Node, parent: Node | undefined): boolean {
  if (parent === undefined || parent['computed'] === true) return false;
  return parent['property'] === node || (parent['key'] === node && parent['value'] !== node);
}

function memberName(node: Node): string | undefined {
  if (node.type === 'MetaProperty') return 'import.meta';
  if (node.type !== 'MemberExpression') return undefined;
  const object = nameOf(nodeField(node, 'object')) ?? '';
  return `${object}.${nameOf(nodeField(node, 'property')) ?? ''}`;
}

function moduleState(file: Source): string[] {
  const found: string[] = [];
  for (const statement of file.body) {
    const node = nodeField(statement, 'declaration') ?? statement;
    if (node.type === 'VariableDeclaration' && node['declare'] !== true) {
      if (node['kind'] === 'let' || node['kind'] === 'var') {
        found.push(at(file, node, `module state (${node['kind']})`));
      } else if (declarators(node).some(isMadeToBeFilled)) {
        found.push(at(file, node, 'an empty container at module level is there to be filled'));
      }
    }
  }
  walk(file.body, (node) => {
    const isStatic = node.type === 'PropertyDefinition' && node['static'] === true;
    if (isStatic && node['readonly'] !== true) found.push(at(file, node, 'module state (static)'));
  });
  return found;
}

function declarators(node: Node): Node[] {
  const list = node['declarations'];
  return Array.isArray(list) ? (list as Node[]) : [];
}

/** An empty list by the name of a constant, or typed read-only, stays empty. */
function isMadeToBeFilled(declarator: Node): boolean {
  const id = nodeField(declarator, 'id');
  const init = nodeField(declarator, 'init');
  const type = nodeField(nodeField(id, 'typeAnnotation'), 'typeAnnotation');
  const typeName = nameOf(nodeField(type, 'typeName')) ?? '';
  if (type?.['operator'] === 'readonly' || typeName.startsWith('Readonly')) return false;
  const constant = /^[A-Z][A-Z0-9_]*$/.test(nameOf(id) ?? '') && init?.type !== 'NewExpression';
  return !constant && isEmptyContainer(init);
}

function isEmptyContainer(init: Node | undefined): boolean {
  if (init === undefined) return false;
  const isEmpty = (key: string): boolean => {
    const list = init[key];
    return Array.isArray(list) && list.length === 0;
  };
  if (init.type === 'ArrayExpression') return isEmpty('elements');
  if (init.type === 'ObjectExpression') return isEmpty('properties');
  const made = init.type === 'NewExpression' ? nameOf(nodeField(init, 'callee')) : undefined;
  return made !== undefined && /^(Weak)?(Map|Set)$/.test(made) && isEmpty('arguments');
}

function bareYields(file: Source): string[] {
  const found: string[] = [];
  const visit = (node: Node, iterates: boolean): void => {
    if (node.type === 'YieldExpression' && node['delegate'] !== true && !iterates) {
      found.push(at(file, node, 'a bare yield; yield* a primitive of src/sched'));
    }
    const inside = node['generator'] === true ? isIteration(node) : iterates;
    for (const child of children(node)) visit(child, inside);
  };
  for (const node of file.body) visit(node, false);
  return found;
}

/** A generator declared as `Generator<T>`, `Generator<T, void>` or `Iterable<T>` hands data to a `for`; it is no Steps. */
function isIteration(generator: Node): boolean {
  const type = nodeField(nodeField(generator, 'returnType'), 'typeAnnotation');
  const args = nodeField(type, 'typeArguments')?.['params'];
  const name = nameOf(nodeField(type, 'typeName')) ?? '';
  return (
    /^(Generator|Iterable|IterableIterator)$/.test(name) && Array.isArray(args) && args.length <= 2
  );
}
