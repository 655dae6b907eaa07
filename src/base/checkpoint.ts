/**
 * Putting a graph of objects back into the state it had once: what all reachable objects held is remembered, and
 * written back in place. Nobody registers anything: new classes and fields are found by walking. What cannot be walked
 * must not hold state, and test/tidy sees to it: private `#fields`, variables that closures change, generators.
 */
import { assert } from './assert.ts';

type Fields = Record<string, unknown>;

/** An object with the own fields it has had since it was made. */
interface SavedObject {
  readonly object: Fields;
  readonly keys: readonly string[];
  readonly values: readonly unknown[];
}

interface SavedMap {
  readonly map: Map<unknown, unknown>;
  readonly keys: readonly unknown[];
  readonly values: readonly unknown[];
}

interface SavedSet {
  readonly set: Set<unknown>;
  readonly values: readonly unknown[];
}

interface SavedArray {
  readonly array: unknown[];
  readonly values: readonly unknown[];
}

interface SavedBytes {
  readonly bytes: Uint8Array;
  readonly saved: Uint8Array;
}

export class Checkpoint {
  private readonly root: object;
  private readonly constants: ReadonlySet<object>;
  private readonly reached: ReadonlySet<object>;
  private readonly objects: SavedObject[] = [];
  /** Objects that are tables by name: fields come and go. */
  private readonly records: SavedObject[] = [];
  private readonly arrays: SavedArray[] = [];
  private readonly maps: SavedMap[] = [];
  private readonly sets: SavedSet[] = [];
  private readonly buffers: SavedBytes[] = [];

  /**
   * @param root where the walk starts
   * @param constants objects never changed, which the walk leaves alone: what two graphs made apart have in common
   */
  constructor(root: object, constants: ReadonlySet<object>) {
    this.root = root;
    this.constants = constants;
    this.reached = reachable(root, constants);
    for (const object of this.reached) this.save(object);
  }

  /** Brings everything back. Objects that have come since are no longer reached from the root. */
  restore(): void {
    for (const { object, keys, values } of this.objects) restoreFields(object, keys, values);
    for (const saved of this.records) restoreRecord(saved);
    for (const saved of this.arrays) restoreArray(saved);
    for (const saved of this.maps) restoreMap(saved);
    for (const { set, values } of this.sets) {
      if (set.size === 0 && values.length === 0) continue;
      set.clear();
      for (const value of values) set.add(value);
    }
    for (const { bytes, saved } of this.buffers) bytes.set(saved);
  }

  /**
   * What keeps `restore` from having brought everything back: null, or a sentence. For tests: a field that a class
   * does not declare, say, has come and stays.
   */
  leftover(): string | null {
    const now = reachable(this.root, this.constants);
    for (const object of now) {
      if (!this.reached.has(object)) return `a ${nameOf(object)} that was not there is reached`;
    }
    for (const { object, keys } of this.objects) {
      const extra = Object.keys(object).find((key) => !keys.includes(key));
      if (extra !== undefined) return `${nameOf(object)} has got a field ${extra}`;
    }
    return now.size === this.reached.size ? null : 'something is no longer reached';
  }

  private save(object: object): void {
    if (Array.isArray(object)) {
      this.arrays.push({ array: object, values: [...(object as unknown[])] });
    } else if (object instanceof Map) {
      this.maps.push({ map: object, keys: [...object.keys()], values: [...object.values()] });
    } else if (object instanceof Set) {
      this.sets.push({ set: object, values: [...object] });
    } else if (object instanceof ArrayBuffer) {
      const bytes = new Uint8Array(object);
      this.buffers.push({ bytes, saved: bytes.slice() });
    } else if (!ArrayBuffer.isView(object)) {
      const fields = object as Fields;
      const keys = Object.keys(fields);
      const saved = { object: fields, keys, values: keys.map((key) => fields[key]) };
      (isRecord(object) ? this.records : this.objects).push(saved);
    }
  }
}

/** All objects that can be reached from one through fields and elements, constants left out. */
export function reachable(
  root: object,
  constants: ReadonlySet<object> = new Set(),
): ReadonlySet<object> {
  const found = new Set([root]);
  const add = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    if (!constants.has(value)) found.add(value);
  };
  // A Set that grows while it is gone through shows what was added, too.
  for (const object of found) {
    if (object instanceof ArrayBuffer) continue;
    if (ArrayBuffer.isView(object)) {
      add(object.buffer);
      continue;
    }
    const tag = Object.prototype.toString.call(object);
    assert(!UNKNOWN.test(tag), () => `${tag} cannot be put back`);
    if (object instanceof Map) for (const entry of object) for (const part of entry) add(part);
    if (object instanceof Set) for (const value of object) add(value);
    for (const { value } of Object.values(Object.getOwnPropertyDescriptors(object))) add(value);
  }
  return found;
}

/** What a walk does not see into. */
const UNKNOWN = /Generator|Iterator|Weak|Promise|SharedArrayBuffer/;

function nameOf(object: object): string {
  return isRecord(object) ? 'record' : object.constructor.name;
}

function isRecord(object: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(object);
  return prototype === Object.prototype || prototype === null;
}

function restoreRecord({ object, keys, values }: SavedObject): void {
  let count = 0;
  for (const key in object) {
    count++;
    if (count > keys.length || key !== keys[count - 1]) {
      count = -1;
      break;
    }
  }
  // Other names, or in another order: all of them anew.
  if (count !== keys.length) for (const key of Object.keys(object)) delete object[key];
  restoreFields(object, keys, values);
}

function restoreFields(object: Fields, keys: readonly string[], values: readonly unknown[]): void {
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    // Compared first: a store tells the compiler that the field is no constant.
    if (object[key] !== values[i]) object[key] = values[i];
  }
}

function restoreArray({ array, values }: SavedArray): void {
  if (array.length > values.length) array.length = values.length;
  for (let i = 0; i < array.length; i++) if (array[i] !== values[i]) array[i] = values[i];
  while (array.length < values.length) array.push(values[array.length]);
}

function restoreMap({ map, keys, values }: SavedMap): void {
  if (map.size === 0 && keys.length === 0) return;
  if (map.size === keys.length && sameEntries(map, keys, values)) return;
  map.clear();
  for (let i = 0; i < keys.length; i++) map.set(keys[i], values[i]);
}

/** Order included: it is what iteration goes by. */
function sameEntries(
  map: Map<unknown, unknown>,
  keys: readonly unknown[],
  values: readonly unknown[],
): boolean {
  let i = 0;
  for (const key of map.keys()) {
    if (key !== keys[i] || map.get(key) !== values[i]) return false;
    i++;
  }
  return true;
}
