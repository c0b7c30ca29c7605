// The command: reads one request as JSON on standard input, writes one JSON line per answer.
//   {"vectors": FOLDER}                     -> {name, verdict, kind and why if refused, rows if any} of each file
//   {"purposes": [hex], "keys": [{seed, alg}], "batches": [hex]} -> {batch, purpose, stream, rows, gaps, ...} of each

import fs from 'node:fs';
import path from 'node:path';
import {Malformed, read} from './cbor.mjs';
import {openBatch, purposeOf, rowsOf} from './batch.mjs';
import {Tampered} from './cose.mjs';
import * as documents from './documents.mjs';

const unhex = (text) => new Uint8Array(Buffer.from(text, 'hex'));
const hex = (value) => Buffer.from(value).toString('hex');
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

function vectorOf(file) {
  const content = fs.readFileSync(file, 'utf8');
  const end = content.indexOf('\n\n');
  const head = Object.fromEntries(content.slice(0, end).split('\n').map((line) => line.split(/: (.*)/s, 2)));
  return {head, message: unhex(content.slice(end).replace(/\s/g, ''))};
}

function contextOf(head, folder) {
  const rootFile = head.root && path.join(folder, `${head.root}.vec`);
  return {
    root: rootFile && documents.pinnedRoot(vectorOf(rootFile).message),
    now: Number(head.now_s),
    seen: head.newest_version && {version: Number(head.newest_version), sha256: unhex(head.newest_sha256)},
    audience: unhex(head.audience ?? ''),
    generation: unhex(head.generation ?? ''),
    executed: head.executed ? [unhex(head.executed)] : [],
    batchId: unhex(head.batch_id ?? ''),
    bodySha256: unhex(head.body_sha256 ?? ''),
    nonce: unhex(head.nonce ?? ''),
    key: {seed: unhex(head.seed ?? ''), alg: Number(head.alg)},
    signer: unhex(head.signing_key ?? ''),
    purpose: head.purpose && purposeOf(unhex(head.purpose)),
  };
}

const ACCEPT = {
  cbor: (message) => read(message, 4096),
  'pinned-root': (message) => documents.pinnedRoot(message),
  root: (message, {root}) => documents.acceptRoot(message, root),
  recipients: documents.acceptRecipients,
  statement: documents.acceptStatement,
  wipe: documents.acceptWipe,
  receipt: documents.acceptReceipt,
  time: documents.acceptTime,
  batch: async (message, {key, purpose}) => {
    const opened = await openBatch(message, [key]);
    return purpose && rowsOf(opened, purpose);
  },
  downlink: (message, {key}) => documents.openDownlink(message, key),
  enrol: (message, {key}) => documents.openEnrolment(message, key),
  control: (message, {key, signer}) => documents.openControl(message, key, signer),
};

// What a reader may throw at foreign bytes; anything else is a fault of this program and ends it.
const REFUSALS = new Map([[Malformed, 'malformed'], [Tampered, 'tampered'], [documents.Refused, 'refused']]);

async function judged(file, folder) {
  const {head, message} = vectorOf(file);
  try {
    const found = await ACCEPT[head.what](message, contextOf(head, folder));
    return {verdict: 'accepted', ...(head.purpose ? {rows: found} : {})};
  } catch (error) {
    if (!REFUSALS.has(error.constructor)) throw error;
    return {verdict: 'refused', kind: REFUSALS.get(error.constructor), why: error.message};
  }
}

async function vectors(folder) {
  const files = fs.readdirSync(folder).filter((name) => name.endsWith('.vec')).sort();
  for (const name of files) say({name: path.basename(name, '.vec'), ...await judged(path.join(folder, name), folder)});
}

async function batches({purposes, keys, batches: messages}) {
  const known = new Map(purposes.map((encoded) => purposeOf(unhex(encoded))).map((purpose) => [purpose.digest, purpose]));
  const seeds = keys.map(({seed, alg}) => ({seed: unhex(seed), alg}));
  for (const message of messages) {
    const opened = await openBatch(unhex(message), seeds);
    const purpose = known.get(hex(opened.payload.get(4)));
    say({
      batch: hex(opened.id),
      purpose: purpose.name,
      digest: purpose.digest,
      stream: hex(opened.payload.get(1)),
      stream_key: hex(opened.payload.get(9)),
      rows: rowsOf(opened, purpose),
      gaps: opened.payload.get(6).map((gap) => gap.map((value) => (value === null ? null : String(value)))),
    });
  }
}

const request = JSON.parse(fs.readFileSync(0, 'utf8'));
await (request.vectors ? vectors(request.vectors) : batches(request));
