// Strict CBOR of SPEC 1.1. Owns: bytes to values and back, and what is refused on the way.
// Does not know any message. Maps become Map, byte strings Uint8Array, integers Number (BigInt beyond 2^53).

import {Tag, decode, encode} from 'cbor2';

const DEPTH = 12;
const STRICT = {cde: true, rejectFloats: true, rejectSimple: true, rejectUndefined: true, ignoreGlobalTags: true, preferMap: true};

export class Malformed extends Error {}

export function must(condition, what) {
  if (!condition) throw new Malformed(what);
}

const isInteger = (value) => typeof value === 'bigint' || Number.isInteger(value);

// One byte of head and value, or negative with a four-byte argument.
function keyInFormat(key) {
  return Number.isInteger(key) && ((key >= -24 && key <= 23) || (key >= -4294967296 && key <= -65537));
}

function hold(value, depth) {
  if (value === null || typeof value === 'boolean' || value instanceof Uint8Array || isInteger(value)) return;
  if (typeof value === 'string') return;
  must(!(value instanceof Tag), 'a tag');
  must(depth < DEPTH, 'nesting');
  if (Array.isArray(value)) return value.forEach((item) => hold(item, depth + 1));
  must(value instanceof Map, 'a value outside the format');
  for (const [key, item] of value) {
    must(keyInFormat(key), 'a key outside the format');
    hold(item, depth + 1);
  }
}

export function read(bytes, limit) {
  must(bytes.length <= limit, 'longer than its limit');
  let value;
  try {
    value = decode(bytes, STRICT);
  } catch (error) {
    throw new Malformed(`CBOR: ${error.constructor.name}`);
  }
  hold(value, 0);
  return value;
}

export const write = (value) => encode(value, {cde: true});

export const equal = (left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)) === 0;

// ------------------------------------------------------------------- shapes: the CDDL of SPEC.md, by hand
// A shape is a function that throws. They stand for the rules of the same name.

export const bytes = (low, high = low) => (value) =>
  must(value instanceof Uint8Array && value.length >= low && value.length <= high, 'length or type of bytes');

// A name or a word of 1 to *most* characters; its CDDL has four bytes for each.
export const text = (most) => (value) => {
  must(typeof value === 'string', 'text');
  must(value.length > 0 && [...value].length <= most, 'length of text');
  must(!/\p{C}|(?! )\p{Z}/u.test(value), 'text that is not printable');
};
export const cell = (value) => must(typeof value === 'string' || value instanceof Uint8Array, 'a cell');
export const integer = (low, high) => (value) => must(isInteger(value) && value >= low && value <= high, 'range');
export const bool = (value) => must(typeof value === 'boolean', 'bool');
export const nil = (value) => must(value === null, 'null');
export const one = (...choices) => (value) => must(choices.includes(value), 'none of the values');

export const any = (...shapes) => (value) => {
  for (const shape of shapes) {
    try {
      return shape(value);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
    }
  }
  throw new Malformed('none of the shapes');
};

export const list = (shape, low, high) => (value) => {
  must(Array.isArray(value) && value.length >= low && value.length <= high, 'number of items');
  value.forEach((item) => shape(item));
};

export const tuple = (...shapes) => (value) => {
  must(Array.isArray(value) && value.length === shapes.length, 'number of items');
  shapes.forEach((shape, at) => shape(value[at]));
};

// Keys of *optional* may be absent; no other key may be there.
export const map = (required, optional = {}) => (value) => {
  must(value instanceof Map, 'a map');
  for (const [key, item] of value) {
    const shape = required[key] ?? optional[key];
    must(shape, 'an unknown key');
    shape(item);
  }
  for (const key of Object.keys(required)) must(value.has(Number(key)), 'a key is absent');
};

export const WORD = text(24);
export const PURPOSE = text(64);
export const KID = bytes(8);
export const ID = bytes(16);
export const DIGEST = bytes(32);
export const COUNT = integer(0, 2n ** 64n - 1n);
export const SECONDS = integer(0, 1099511627776);
export const VERSION = integer(0, 9007199254740991);
export const EPOCH = integer(0, 4294967296);
export const HPKE_PUBLIC = any(tuple(one(57), bytes(1216)), tuple(one(50), bytes(32)));
export const secret = (value) => {
  bytes(32)(value);
  must(value.some((byte) => byte !== 0), 'a secret of zeros');
};
