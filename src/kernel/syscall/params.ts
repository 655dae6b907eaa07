/** Short ways to write parameter lists of table rows. */
import type { Param, ParamKind } from './row.ts';

function param(kind: ParamKind): (name: string) => Param {
  return (name) => ({ name, kind });
}

export const address: (name: string) => Param = param('address');
export const length: (name: string) => Param = param('length');
export const fd: (name: string) => Param = param('fd');
export const number: (name: string) => Param = param('number');
export const struct: (name: string) => Param = param('struct');
export const string: (name: string) => Param = param('string');

export function flags(name: string, names: Readonly<Record<string, number>>): Param {
  return { name, kind: 'flags', names };
}
