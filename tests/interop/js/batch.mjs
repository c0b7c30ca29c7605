// Batches of SPEC 6. Owns: payload, tables, columns, and the rows that come out.
// Does not open envelopes (cose.mjs); what a column means it takes from the purpose that the digest names.

import zlib from 'node:zlib';
import {COUNT, DIGEST, ID, Malformed, PURPOSE, any, bool, bytes, cell, equal, integer, list, map, must, nil, one, read, tuple, write} from './cbor.mjs';
import {authentic, digest, open, taggedSign1, verifies} from './cose.mjs';

const INFLATED = 8388608;
const hex = (value) => Buffer.from(value).toString('hex');

// ----------------------------------------------------------------------------------------------- the payload

const GAP = tuple(COUNT, any(COUNT, nil), any(COUNT, nil), integer(0, 8));
const ANY_BYTES = bytes(0, 1310720);
const WIDE = integer(-(2n ** 64n), 2n ** 64n - 1n);
const PAYLOAD = map(
  {0: one(1), 1: ID, 2: COUNT, 3: any(one(-1), COUNT), 4: DIGEST, 5: one(0, 1), 6: list(GAP, 0, 64), 7: ANY_BYTES, 9: bytes(32)},
  {10: ID, 11: WIDE, 12: tuple(ID, COUNT)},
);

// Open one batch; *keys* are {seed, alg}, one of which it must be for.
export async function openBatch(message, keys) {
  const {inside, id, kid} = await openWithOne(message, keys);
  const signed = taggedSign1(inside, 1310720, ID);
  const payload = read(signed.payload, 1310720);
  PAYLOAD(payload);
  authentic(signed.typ === 'application/edge-sdk.batch+cose', 'batch signature');
  authentic(verifies(signed, payload.get(9), write(['edge-sdk/batch/1', id, kid])), 'batch signature');
  authentic(equal(signed.kid, payload.get(1)), 'batch is of another stream');
  return {id, payload, tables: inflated(payload.get(7))};
}

async function openWithOne(message, keys) {
  let last = new Malformed('no key');
  for (const key of keys) {
    try {
      return await open(message, 'batch', key);
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

function inflated(deflated) {
  let result;
  try {
    result = zlib.inflateRawSync(deflated, {maxOutputLength: INFLATED, info: true});
  } catch (error) {
    throw new Malformed(`tables do not inflate: ${error.code}`);
  }
  must(result.engine.bytesWritten === deflated.length, 'bytes after the tables');
  const tables = read(new Uint8Array(result.buffer), INFLATED);
  list(TABLE, 0, 32)(tables);
  return tables;
}

// -------------------------------------------------------------------------------------- tables and columns

const PACKED = ANY_BYTES;
const COLUMN = any(PACKED, tuple(PACKED, PACKED), tuple(list(cell, 0, 65536), PACKED));
const LEADING = any(tuple(PACKED), tuple(PACKED, PACKED));
const TABLE = tuple(COUNT, integer(1, 65536), LEADING, list(COLUMN, 1, 65536));

function varints(packed) {
  const values = [];
  let [value, shift, count] = [0n, 0n, 0];
  for (const byte of packed) {
    value |= BigInt(byte & 0x7f) << shift;
    shift += 7n;
    count += 1;
    must(count <= 10 && value < 2n ** 64n, 'a number longer than 10 bytes');
    if (byte & 0x80) continue;
    must(byte !== 0 || count === 1, 'a number longer than needed');
    values.push(value);
    [value, shift, count] = [0n, 0n, 0];
  }
  must(count === 0, 'a number is cut short');
  return values;
}

const unzigzag = (value) => (value & 1n ? -((value + 1n) >> 1n) : value >> 1n);

// *sources* has one entry a value; a value is counted from the one before of the same source.
function unpacked(packed, sources) {
  const values = varints(packed);
  must(values.length === sources.length, 'number of values');
  const before = new Map();
  return values.map((value, at) => {
    const sum = (before.get(sources[at]) ?? 0n) + unzigzag(value);
    before.set(sources[at], sum);
    return sum;
  });
}

const sameSource = (rows) => new Array(rows).fill(0);

// A column of words: the distinct ones in order of first use, and each row's place. *missing* says that place 0 is none.
function worded(column, rows, missing) {
  must(Array.isArray(column) && Array.isArray(column[0]), 'a column of words');
  const [words, packed] = column;
  const base = missing ? 1n : 0n;
  let used = 0n;
  const places = unpacked(packed, sameSource(rows));
  for (const place of places) {
    must(place >= 0n && place < BigInt(words.length) + base, 'a place beyond the words');
    must(place < base || place - base <= used, 'words out of order');
    if (place >= base && place - base === used) used += 1n;
  }
  must(used === BigInt(words.length), 'a word that no row has');
  must(new Set(words.map((word) => (typeof word === 'string' ? `t${word}` : `b${hex(word)}`))).size === words.length, 'a word twice');
  return {places, cells: places.map((place) => (place < base ? null : words[Number(place - base)]))};
}

function numbers(column, rows, sources) {
  if (column instanceof Uint8Array) return unpacked(column, sources);
  const [present, packed] = column;
  must(present instanceof Uint8Array && present.length === Math.ceil(rows / 8), 'presence bits');
  const there = Array.from({length: rows}, (_, row) => Boolean(present[row >> 3] & (1 << (row & 7))));
  must(there.includes(false), 'presence bits without a missing value');
  must(rows % 8 === 0 || present[present.length - 1] >> (rows % 8) === 0, 'presence bits beyond the rows');
  const values = unpacked(packed, sources.filter((_, row) => there[row]));
  let next = 0;
  return there.map((is) => (is ? values[next++] : null));
}

// ----------------------------------------------------------------------------------------------- purposes

const NAME = (value) => must(typeof value === 'string', 'a name');
const DECLARED = tuple(NAME, NAME, NAME, NAME, WIDE, WIDE, COUNT, WIDE, COUNT, list(NAME, 0, 4096), COUNT);
const LEAVES = tuple(any(NAME, nil), any(tuple(WIDE, WIDE), nil), list(WIDE, 0, 4096), COUNT, any(NAME, nil), COUNT);
const VIEW = tuple(NAME, NAME, COUNT, any(COUNT, nil), bool, list(tuple(DECLARED, LEAVES), 0, 4096));
const BODY = [PURPOSE, NAME, NAME, list(NAME, 0, 64), COUNT, list(VIEW, 0, 32)];
const REACH = tuple(list(NAME, 1, 64), list(NAME, 0, 8), COUNT);
const CANONICAL = any(tuple(one(1), ...BODY), tuple(one(2), ...BODY, REACH));

// Read the canonical form *encoded* of a purpose; its digest is what grants and batches name.
export function purposeOf(encoded) {
  const value = read(encoded, 1 << 20);
  CANONICAL(value);
  const views = value[6].map(([kind, source, , every, , fields]) => ({
    kind, source, every, fields: fields.map(([declared, leaves]) => fieldOf(declared, leaves)),
  }));
  return {digest: hex(digest(encoded)), name: value[1], views};
}

function fieldOf(declared, leaves) {
  const [name, , type, , , , mantissa, exponent, , values] = declared;
  const [window, , band, factor] = leaves;
  const counted = window === 'count';
  return {
    name, window, band, values, counted, type, exponent,
    words: ['text', 'ip', 'mac', 'location'].includes(type) && !counted,
    label: ['enum', 'flags', 'bool'].includes(type) && !['mean', 'sum', 'delta', 'count'].includes(window),
    step: BigInt(mantissa), factor: BigInt(factor),
  };
}

// ------------------------------------------------------------------------------------------ rows and values

function rowsOfTable([place, count, leading, columns], purpose) {
  must(Number(place) < purpose.views.length, 'a view the purpose does not have');
  const view = purpose.views[Number(place)];
  must(leading.length === (view.every === null ? 1 : 2), 'leading columns');
  must(columns.length === view.fields.length, 'number of columns');
  const rows = Number(count);
  const from = view.fields.findIndex(({name, words}) => words && name === view.source);
  const sources = from < 0 ? {places: sameSource(rows)} : worded(columns[from], rows, false);
  const leads = leading.map((packed) => unpacked(packed, sources.places));
  const cells = view.fields.map((field, at) => {
    if (at === from) return sources.cells;
    return field.words ? worded(columns[at], rows, true).cells : numbers(columns[at], rows, sources.places);
  });
  return Array.from({length: rows}, (_, row) => [
    view.kind,
    String(leads[0][row]),
    view.every === null ? null : String(leads[1][row]),
    Object.fromEntries(view.fields.map((field, at) => [field.name, valueOf(field, cells[at][row])])),
  ]);
}

// Numbers are {n: exact decimal}; a band is the two edges it lies between.
function valueOf(field, cell) {
  if (cell === null) return null;
  if (field.words) return typeof cell === 'string' ? cell : {pseudonym: hex(cell)};
  if (field.counted) return {n: String(cell)};
  if (field.band.length) return bandOf(field, cell);
  if (field.label) return labelOf(field, cell);
  return {n: decimal(cell * field.step * field.factor, field.exponent)};
}

function bandOf({band, step, exponent}, cell) {
  must(cell >= 0n && cell <= BigInt(band.length), 'no such band');
  const ends = [null, ...band.map((edge) => ({n: decimal(BigInt(edge) * step, exponent)})), null];
  return ends.slice(Number(cell), Number(cell) + 2);
}

function labelOf({type, values}, cell) {
  const limit = type === 'bool' ? 2n : type === 'enum' ? BigInt(values.length) : 1n << BigInt(values.length);
  must(cell >= 0n && cell < limit, 'no such label');
  if (type === 'bool') return cell === 1n;
  return type === 'enum' ? values[Number(cell)] : values.filter((_, bit) => (cell >> BigInt(bit)) & 1n);
}

function decimal(scaled, exponent) {
  if (exponent >= 0) return String(scaled * 10n ** BigInt(exponent));
  const digits = String(scaled < 0n ? -scaled : scaled).padStart(1 - exponent, '0');
  const fraction = digits.slice(exponent).replace(/0+$/, '');
  return `${scaled < 0n ? '-' : ''}${digits.slice(0, exponent)}${fraction && '.'}${fraction}`;
}

// Return the rows of an opened batch: [number, kind, time, readings of a window or null, values by name].
export function rowsOf({payload, tables}, purpose) {
  must(purpose.digest === hex(payload.get(4)), 'another purpose');
  must(tables.every(([view], at) => at === 0 || tables[at - 1][0] < view), 'views out of order');
  const first = BigInt(payload.get(2));
  const rows = tables.flatMap((table) => rowsOfTable(table, purpose));
  must(BigInt(payload.get(3)) === first + BigInt(rows.length) - 1n, 'first and last');
  return rows.map((row, at) => [String(first + BigInt(at)), ...row]);
}
