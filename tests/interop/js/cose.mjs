// Signatures and sealed messages of SPEC 2.3, 2.4 and 4. Owns: COSE_Sign1, COSE_Encrypt, padding, keys.
// Knows no document and no payload; random numbers are not needed to open.

import crypto from 'node:crypto';
import {AEAD_AES_256_GCM, AEAD_ChaCha20Poly1305, KDF_HKDF_SHA256, KDF_SHAKE256} from '@panva/hpke-noble';
import {KEM_DHKEM_X25519_HKDF_SHA256, KEM_MLKEM768_X25519} from '@panva/hpke-noble';
import {XWing} from '@noble/post-quantum/hybrid.js';
import * as hpke from 'hpke';
import {ID, KID, any, bytes, equal, map, must, nil, one, read, tuple, write} from './cbor.mjs';

// What was read is well-formed but not authentic.
export class Tampered extends Error {}

export function authentic(condition, what) {
  if (!condition) throw new Tampered(what);
}

const NOTHING = new Uint8Array(0);
const utf8 = (text) => Buffer.from(text, 'utf8');
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), crypto.createHash('sha256')).digest();
export const digest = sha256;
export const keyName = (key) => sha256(utf8('edge-sdk/kid/1'), key).subarray(0, 8);

// ------------------------------------------------------------------------------------------- SPEC 2.3, 2.4

const OUTER_SIGN1 = tuple(bytes(0, 4096), map({}), any(bytes(0, 2097152), nil), bytes(64));
const typed = (kid, typ) => map({1: one(-19), 4: kid, 16: typ});
const anyTyp = (value) => must(typeof value === 'string', 'typ');

export function verifies({header, payload, signature}, key, external = NOTHING) {
  const signed = write(['Signature1', header, external, payload]);
  const jwk = {kty: 'OKP', crv: 'Ed25519', x: Buffer.from(key).toString('base64url')};
  return crypto.verify(null, signed, crypto.createPublicKey({key: jwk, format: 'jwk'}), signature);
}

// One signature without its tag, as an object; headers are held against their shape, typ is the caller's to judge.
function sign1Of(value, kidShape) {
  OUTER_SIGN1(value);
  const [header, , payload, signature] = value;
  const named = read(header, 4096);
  typed(kidShape, anyTyp)(named);
  return {header, payload, signature, kid: named.get(4), typ: named.get(16)};
}

export function taggedSign1(message, limit, kidShape) {
  must(message[0] === 0xd2, 'lacks tag 18');
  const made = sign1Of(read(message.subarray(1), limit), kidShape);
  must(made.payload !== null, 'carries no payload');
  return made;
}

export function bundle(message, limit) {
  const value = read(message, limit);
  must(Array.isArray(value) && value.length >= 1 && value.length <= 16, 'number of signatures');
  const signatures = value.map((item) => sign1Of(item, KID));
  const {payload} = signatures[0];
  must(payload !== null, 'carries no payload');
  for (const later of signatures.slice(1)) {
    must(later.payload === null, 'a second payload');
    later.payload = payload;
  }
  must(new Set(signatures.map(({kid}) => Buffer.from(kid).toString('hex'))).size === signatures.length, 'a key twice');
  return {payload, signatures, sha256: sha256(payload)};
}

// --------------------------------------------------------------------------------------------------- SPEC 4

const LONGEST = {batch: 1310720, control: 524288, enrol: 6144, downlink: 6144};
const SIZED = {control: 4096, enrol: 4096, downlink: 4096};
const EK_BYTES = {57: 1120, 50: 32};
const SUITES = {
  57: new hpke.CipherSuite(KEM_MLKEM768_X25519, KDF_SHAKE256, AEAD_AES_256_GCM),
  50: new hpke.CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_ChaCha20Poly1305),
};
const CONTENT = {3: 'aes-256-gcm', 24: 'chacha20-poly1305'};

function publicKey(seed, alg) {
  if (alg === 57) return XWing.keygen(seed).publicKey;
  const pkcs8 = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), seed]);
  const key = crypto.createPublicKey(crypto.createPrivateKey({key: pkcs8, format: 'der', type: 'pkcs8'}));
  return Buffer.from(key.export({format: 'jwk'}).x, 'base64url');
}

export function outer(message, word) {
  must(message[0] === 0xd8 && message[1] === 0x60, 'lacks tag 96');
  const value = read(message.subarray(2), LONGEST[word] - 2);
  const layer = tuple(bytes(1, 2048), map({'-4': bytes(32, 1120)}), bytes(48));
  tuple(bytes(1, 2048), map({5: bytes(12)}), bytes(16, 1310720), tuple(layer))(value);
  const [content, {}, ciphertext, [[recipient, ek, wrapped]]] = value;
  const header = read(content, 2048);
  const named = word === 'batch' || word === 'control';
  map({1: one(3, 24), 16: one(`application/edge-sdk.${word}+cose`), ...(named ? {'-70010': ID} : {})})(header);
  const to = read(recipient, 2048);
  map({1: one(57, 50), 4: KID})(to);
  must(ek.get(-4).length === EK_BYTES[to.get(1)], 'length of ek');
  return {
    content, ciphertext, recipient, wrapped, ek: ek.get(-4), iv: value[1].get(5), contentAlg: header.get(1), id: header.get(-70010),
    alg: to.get(1), kid: to.get(4),
  };
}

function decipher(alg, key, iv, aad, sealed) {
  const opened = crypto.createDecipheriv(CONTENT[alg], key, iv, {authTagLength: 16});
  opened.setAAD(aad, {plaintextLength: sealed.length - 16});
  opened.setAuthTag(sealed.subarray(sealed.length - 16));
  return new Uint8Array(Buffer.concat([opened.update(sealed.subarray(0, sealed.length - 16)), opened.final()]));
}

async function plaintext(parts, word, seed) {
  const binding = write([`edge-sdk/${word}/1`, parts.kid]);
  const info = write(['HPKE Recipient', parts.contentAlg, parts.recipient, binding]);
  const suite = SUITES[parts.alg];
  try {
    const key = await suite.DeserializePrivateKey(seed, true);
    const cek = await suite.Open(key, parts.ek, parts.wrapped, {info});
    return decipher(parts.contentAlg, cek, parts.iv, write(['Encrypt', parts.content, binding]), parts.ciphertext);
  } catch (error) {
    throw new Tampered(`${word} envelope: ${error.constructor.name}`);
  }
}

export function padme(length) {
  const e = Math.floor(Math.log2(length));
  const unit = 2 ** (e - (Math.floor(Math.log2(e)) + 1));
  return Math.ceil(length / unit) * unit;
}

function unpadded(padded, word) {
  const end = padded.findLastIndex((byte) => byte !== 0);
  must(end >= 0 && padded[end] === 0x80, 'padding');
  const length = end + 1;
  const small = word in SIZED && (word !== 'control' || length <= SIZED[word]);
  must(padded.length === (small ? SIZED[word] : padme(length)), small ? 'not padded to 4096' : 'padding');
  return padded.subarray(0, end);
}

// Open the envelope *message* of type *word* with a private *seed* of HPKE algorithm *alg*.
export async function open(message, word, {seed, alg}) {
  const parts = outer(message, word);
  const expected = word === 'downlink' ? new Uint8Array(8) : keyName(publicKey(seed, alg));
  must(word !== 'downlink' || equal(parts.kid, expected), 'names a key in clear');
  authentic(parts.alg === alg && equal(parts.kid, expected), 'envelope is for another key');
  return {inside: unpadded(await plaintext(parts, word, seed), word), id: parts.id, kid: parts.kid};
}
