// Goal: the principles of STYLE.md that a program can check are checked; each rule is shown to be able to fail.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { differencesIn, pages, render } from '../scripts/docs/differences.ts';
import { importRules } from './tidy/imports.ts';
import { purityRules } from './tidy/purity.ts';
import {
  LONG_FILES,
  LONG_FUNCTIONS,
  longFiles,
  longFunctions,
  outlived,
  sizeRules,
} from './tidy/size.ts';
import { type Rule, repositorySources, type Source, source } from './tidy/source.ts';
import { wordRules } from './tidy/words.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = repositorySources(root);
const rules: readonly Rule[] = [...importRules, ...sizeRules, ...purityRules, ...wordRules];

const sample = (files: Readonly<Record<string, string>>): Source[] =>
  Object.entries(files).map(([path, text]) => source(path, text));

test('the repository is what is read', () => {
  const paths = sources.map((file) => file.path);
  expect(paths).toContain('src/base/assert.ts');
  expect(paths).toContain('test/tidy.test.ts');
  expect(paths).toContain('examples/guest/uffd.h');
  expect(paths.filter((path) => path.includes('node_modules') || path.includes('dist/'))).toEqual(
    [],
  );
});

describe.each(rules.map((rule) => [rule.claim, rule] as const))('%s', (_claim, rule) => {
  test('holds', () => expect(rule.check(sources)).toEqual([]));

  test.each(rule.bad.map((files) => [JSON.stringify(files).slice(0, 90), files] as const))(
    'is broken by %s',
    (_text, files) => expect(rule.check(sample(files))).not.toEqual([]),
  );

  test('is not broken by what it allows', () => {
    expect(rule.check(sample(rule.good))).toEqual([]);
  });
});

describe('an exemption does not outlive its reason', () => {
  test('LONG_FILES', () => expect(outlived(LONG_FILES, longFiles(sources))).toEqual([]));
  test('LONG_FUNCTIONS', () => {
    expect(outlived(LONG_FUNCTIONS, longFunctions(sources))).toEqual([]);
  });
  test('is noticed when it does', () => {
    expect(outlived({ 'src/gone.ts': 'was long' }, new Map())).toEqual(['src/gone.ts']);
  });
});

describe('docs/differences.md', () => {
  test('is what the comments say (else run: npm run docs)', () => {
    for (const page of pages(root)) {
      const file = join(root, page.path);
      expect(existsSync(file) ? readFileSync(file, 'utf8') : '').toBe(page.text);
    }
  });

  test('gathers a comment up to its end, an empty line, a tag or the next mark', () => {
    const mark = ['Differs', 'from Linux:'].join(' ');
    const text = [
      `/** A docstring. ${mark} never reached`,
      `/** ${mark} one frame`,
      ' *  at a time.',
      ' *',
      ' *  Not this. */',
      `x(); // ${mark} two`,
      `// ${mark} three`,
      '// goes on',
      'y();',
      `/* ${mark} four */`,
      ` * ${mark} five`,
      ' * @linux mm/memory.c x',
    ].join('\n');
    expect(differencesIn('a.ts', text).map((d) => `${d.line} ${d.text}`)).toEqual([
      '1 never reached',
      '2 one frame at a time.',
      '6 two',
      '7 three goes on',
      '10 four',
      '11 five',
    ]);
  });

  test('a new departure makes the page stale', () => {
    const one = { path: 'src/a.ts', line: 1, text: 'one frame at a time.' };
    expect(render([one])).not.toBe(render([]));
    expect(render([one])).toContain('- one frame at a time.');
  });
});
