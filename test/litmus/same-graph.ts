/** Whether two graphs of objects, made apart, are alike in everything but who they are. */

type Pair = readonly [a: object, b: object, path: string];

/** Null when they are, else where they first differ. What functions and generators hold inside is not seen. */
export function graphDifference(a: object, b: object): string | null {
  const twin = new Map<object, object>([[a, b]]);
  const todo: Pair[] = [[a, b, 'root']];
  for (const [left, right, path] of todo) {
    const [ours, theirs] = [parts(left), parts(right)];
    if (ours.length !== theirs.length) return `${path}: ${ours.length} parts, ${theirs.length}`;
    for (const [i, [key, value]] of ours.entries()) {
      const [otherKey, other] = theirs[i] ?? ['', undefined];
      const place = `${path}.${key}`;
      if (key !== otherKey) return `${place}: there it is ${otherKey}`;
      if (typeof value === 'function' && typeof other === 'function') {
        if (value.toString() !== other.toString()) return `${place}: another function`;
      } else if (!isObject(value) || !isObject(other)) {
        if (!Object.is(value, other)) return `${place}: ${String(value)}, ${String(other)}`;
      } else if (twin.has(value)) {
        if (twin.get(value) !== other) return `${place}: another object`;
      } else {
        if (Object.getPrototypeOf(value) !== Object.getPrototypeOf(other) && !isGenerator(value)) {
          return `${place}: another class`;
        }
        twin.set(value, other);
        if (value !== other && !isGenerator(value)) todo.push([value, other, place]);
      }
    }
  }
  return null;
}

function parts(object: object): (readonly [string, unknown])[] {
  if (object instanceof ArrayBuffer) return [...new Uint8Array(object).entries()].map(named);
  if (ArrayBuffer.isView(object)) {
    return [
      ['buffer', object.buffer],
      ['byteOffset', object.byteOffset],
      ['byteLength', object.byteLength],
    ];
  }
  const own = Object.entries(object);
  if (object instanceof Map) return [...own, ...[...object].flat().entries()].map(named);
  if (object instanceof Set) return [...own, ...[...object].entries()].map(named);
  return own;
}

function named([key, value]: readonly [string | number, unknown]): readonly [string, unknown] {
  return [String(key), value];
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isGenerator(value: object): boolean {
  return Object.prototype.toString.call(value) === '[object Generator]';
}
