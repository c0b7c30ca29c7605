// Signed documents, receipts and the other messages of SPEC 5, 6.7 and 9. Owns: their shapes and numbered checks.
// Keeps no state: what a device remembers (newest version, orders carried out) is handed in.

import {COUNT, DIGEST, EPOCH, HPKE_PUBLIC, ID, KID, PURPOSE, SECONDS, VERSION, WORD, any, bool, bytes, equal, integer, list, map, must, nil, one, read, secret, text, tuple, write} from './cbor.mjs';
import {authentic, bundle, digest, keyName, open, taggedSign1, verifies} from './cose.mjs';

// A check of SPEC 5.1 that failed, by its number.
export class Refused extends Error {}

function check(condition, number, word) {
  if (!condition) throw new Refused(`check ${number} (${word})`);
}

const ROLES = {root: 0, statement: 1, recipients: 2, wipe: 3, receipt: 4, time: 5};
const LIMITS = {root: 65536, recipients: 65536, statement: 3200, wipe: 800, receipt: 65536, time: 65536};
const SKEW_S = 3600;
const hex = (value) => Buffer.from(value).toString('hex');
const typOf = (word) => `application/edge-sdk.${word}+cose`;
const distinct = (values) => new Set(values.map(hex)).size === values.length;

// ------------------------------------------------------------------------------------------------- payloads

const KEYS = list(bytes(32), 1, 8);
const ROLE_KEYS = tuple(integer(1, 8), KEYS);
const SINGLE = tuple(one(1), KEYS);
const ROOT = map({
  6: SECONDS, '-70002': VERSION, '-70008': HPKE_PUBLIC, '-70009': bool,
  '-70005': map({0: ROLE_KEYS, 1: ROLE_KEYS, 2: ROLE_KEYS, 3: ROLE_KEYS, 4: SINGLE, 5: SINGLE}),
});
const keyed = (alg, key) => map({0: one(alg), 1: bytes(key), 2: PURPOSE, 3: text(16), 4: WORD, 5: SECONDS, 6: SECONDS});
const RECIPIENTS = map({4: SECONDS, 5: SECONDS, 6: SECONDS, '-70002': VERSION, '-70006': list(any(keyed(57, 1216), keyed(50, 32)), 0, 32)});
const GRANT = map({0: ID, 1: PURPOSE, 2: WORD, 3: WORD, 4: list(DIGEST, 1, 8), 5: list(KID, 0, 8), 6: SECONDS});
const STATEMENT = map({
  3: ID, 4: SECONDS, 5: SECONDS, 6: SECONDS, '-70001': ID, '-70002': VERSION, '-70003': WORD, '-70004': list(GRANT, 0, 24),
});
const WIPE = map({3: ID, 6: SECONDS, 7: ID, '-70001': ID, '-70007': any(one(0), list(PURPOSE, 1, 16))}, {5: SECONDS});
const RECEIPT = map({0: one(1), 1: ID, 2: DIGEST, 3: any(DIGEST, nil), 4: one(0, 413, 422), 6: SECONDS});
const TIME = map({0: one(1), 1: ID, 2: SECONDS});
const CODE = (value) => must(typeof value === 'string' && /^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}$/.test(value), 'claim code');
const ENROL = {0: one(1), 1: CODE, 2: bytes(32), 5: secret, 6: secret, 7: VERSION, 8: ID};
const ENROLMENT = any(map({...ENROL, 3: one(57), 4: bytes(1216)}), map({...ENROL, 3: one(50), 4: bytes(32)}));
const DOWNLINK = map({0: one(1), 1: EPOCH, 2: bytes(1, 3200)}, {3: bytes(1, 800)});
const HEAD = any(tuple(DIGEST, COUNT), nil);
const WITHDRAWAL = tuple(PURPOSE, list(ID, 1, 24));
const ENDED = tuple(ID, PURPOSE, ID, COUNT, COUNT, any(COUNT, nil));
const ERASED = list(tuple(text(64), one('clear', 'ce', 'ce-hw', 'absent', 'failed'), bool, COUNT), 1, 32);
const WIPED = map({
  0: one(1), 1: ID, 2: any(ID, nil), 3: list(PURPOSE, 0, 64), 4: SECONDS, 5: ERASED,
  6: list(tuple(PURPOSE, list(KID, 0, 64), list(ID, 0, 4096)), 0, 64),
  7: one('cleared', 'failed', 'not reachable', 'none'), 8: tuple(DIGEST, COUNT), 9: text(64),
});
const told = (kind, body) => map({0: one(1), 1: one(kind), 2: ID, 3: SECONDS, 4: HEAD, 5: body});
const CONTROL = any(told(0, WITHDRAWAL), told(1, WIPED), told(2, nil), told(3, ENDED));

// -------------------------------------------------------------------------------------------------- the root

function rootClaims(made) {
  const claims = read(made.payload, LIMITS.root);
  ROOT(claims);
  const roles = [...claims.get(-70005)].map(([role, [threshold, keys]]) => ({role, threshold, keys}));
  must(roles.every(({threshold, keys}) => threshold <= keys.length), 'a threshold beyond the keys');
  must(distinct(roles.flatMap(({keys}) => keys)), 'a key with two roles');
  return {version: claims.get(-70002), iat: claims.get(6), test: claims.get(-70009), roles};
}

// Checks 1 to 3: by a root, of a document or a single signature.
function signedBy(root, signatures, word) {
  const byName = new Map(root.roles.flatMap(({role, keys}) => keys.map((key) => [hex(keyName(key)), {role, key}])));
  const known = signatures.map((made) => ({made, by: byName.get(hex(made.kid))})).filter(({by}) => by !== undefined);
  check(known.length > 0 && known.every(({made, by}) => verifies(made, by.key)), 1, 'signature');
  check(signatures.every(({typ}) => typ === typOf(word)), 2, 'typ');
  const {threshold} = root.roles.find(({role}) => role === ROLES[word]);
  check(known.filter(({by}) => by.role === ROLES[word]).length >= threshold, 3, 'role');
}

export function pinnedRoot(message) {
  const made = bundle(message, LIMITS.root);
  const root = rootClaims(made);
  signedBy(root, made.signatures, 'root');
  return root;
}

export function acceptRoot(message, current) {
  const made = bundle(message, LIMITS.root);
  signedBy(current, made.signatures, 'root');
  const root = rootClaims(made);
  signedBy(root, made.signatures, 'root');
  check(root.test === current.test, 4, 'audience');
  check(root.version === current.version + 1, 6, 'version');
  check(root.iat >= current.iat, 7, 'times');
  return root;
}

// ---------------------------------------------------------------------------------------- the other documents

function newest(claims, sha256, seen) {
  if (!seen) return;
  const version = claims.get(-70002);
  check(version >= seen.version && (version > seen.version || equal(sha256, seen.sha256)), 6, 'version');
}

const begun = (claims, now, ...keys) => keys.every((key) => !claims.has(key) || claims.get(key) <= now + SKEW_S);

export function acceptRecipients(message, {root, now, seen}) {
  const made = bundle(message, LIMITS.recipients);
  signedBy(root, made.signatures, 'recipients');
  const claims = read(made.payload, LIMITS.recipients);
  RECIPIENTS(claims);
  must(distinct(claims.get(-70006).map((key) => key.get(1))), 'a recipient key twice');
  newest(claims, made.sha256, seen);
  check(begun(claims, now, 5, 6) && claims.get(4) > now, 7, 'times');
  return claims;
}

function ours(claims, {audience, generation}) {
  check(equal(claims.get(3), audience), 4, 'audience');
  check(equal(claims.get(-70001), generation), 5, 'generation');
}

export function acceptStatement(message, {root, now, seen, ...device}) {
  const made = bundle(message, LIMITS.statement);
  signedBy(root, made.signatures, 'statement');
  const claims = read(made.payload, LIMITS.statement);
  STATEMENT(claims);
  must(distinct(claims.get(-70004).map((grant) => grant.get(0))), 'a grant id twice');
  ours(claims, device);
  newest(claims, made.sha256, seen);
  check(begun(claims, now, 5, 6) && claims.get(4) > now, 7, 'times');
  return claims;
}

export function acceptWipe(message, {root, now, executed, ...device}) {
  const made = bundle(message, LIMITS.wipe);
  signedBy(root, made.signatures, 'wipe');
  const claims = read(made.payload, LIMITS.wipe);
  WIPE(claims);
  ours(claims, device);
  check(!executed.some((nonce) => equal(nonce, claims.get(7))), 6, 'version');
  check(begun(claims, now, 6) && (!claims.has(5) || claims.get(5) <= now), 7, 'times');
  return claims;
}

// -------------------------------------------------------------------------------- answers and sealed messages

function answer(message, word, shape, root) {
  const made = taggedSign1(message, LIMITS[word], KID);
  signedBy(root, [made], word);
  const payload = read(made.payload, LIMITS[word]);
  shape(payload);
  return payload;
}

export function acceptReceipt(message, {root, batchId, bodySha256}) {
  const payload = answer(message, 'receipt', RECEIPT, root);
  check(equal(payload.get(1), batchId), 4, 'batch id');
  check(equal(payload.get(2), bodySha256), 5, 'body');
  return payload;
}

export function acceptTime(message, {root, nonce}) {
  const payload = answer(message, 'time', TIME, root);
  check(equal(payload.get(1), nonce), 4, 'nonce');
  return payload;
}

export async function openDownlink(message, key) {
  const {inside} = await open(message, 'downlink', key);
  const payload = read(inside, 4096);
  DOWNLINK(payload);
  return payload;
}

export async function openEnrolment(message, key) {
  const {inside, kid} = await open(message, 'enrol', key);
  const signed = taggedSign1(inside, 4096, KID);
  const payload = read(signed.payload, 4096);
  ENROLMENT(payload);
  const binding = write(['edge-sdk/enrol/1', kid]);
  const signer = payload.get(2);
  authentic(signed.typ === typOf('enrol') && equal(signed.kid, keyName(signer)) && verifies(signed, signer, binding), 'enrolment');
  return payload;
}

export async function openControl(message, key, signer) {
  const {inside, id, kid} = await open(message, 'control', key);
  const signed = taggedSign1(inside, 524288, KID);
  const binding = write(['edge-sdk/control/1', id, kid]);
  authentic(signed.typ === typOf('control') && equal(signed.kid, keyName(signer)) && verifies(signed, signer, binding), 'control message');
  const payload = read(signed.payload, 524288);
  CONTROL(payload);
  return payload;
}

export const sha256 = digest;
