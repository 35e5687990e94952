/** Listing and generating key pairs, in the host's process. */
import type { Handle } from 'pkcs11js';
import { integer, tlv } from '../../core/der/writer.ts';
import { DerCursor } from '../../core/der/reader.ts';
import type { TokenKey } from '../../ports/token.ts';
import { HostError, type OpenedModule } from './module.ts';

/** Objects looked at: a token for one service holds a few. */
const MAX_OBJECTS = 1000;

const oid = (hex: string): Buffer => Buffer.from(hex, 'hex');
const RSA_ENCRYPTION = oid('06092a864886f70d010101');
const EC_PUBLIC_KEY = oid('06072a8648ce3d0201');
/** CKA_EC_PARAMS: the curve's OBJECT IDENTIFIER, DER. */
const CURVES = { 'P-256': oid('06082a8648ce3d030107'), 'P-384': oid('06052b81040022') };
const PUBLIC_EXPONENT = Buffer.from('010001', 'hex');

interface FoundObject {
  readonly label: string;
  readonly id: string;
  readonly type: string;
  readonly publicKey: Buffer | undefined;
  readonly sensitive: boolean;
  readonly extractable: boolean;
}

/** Private keys with the public key of the same id (or, without id, label), then public keys that are alone. */
export function listPairs(module: OpenedModule): readonly TokenKey[] {
  return withSession(module, module.constants.CKF_SERIAL_SESSION, (session) => {
    const { constants } = module;
    const read = (objectClass: number): FoundObject[] =>
      find(module, session, [{ type: constants.CKA_CLASS, value: objectClass }]).map((handle) =>
        describe(module, session, handle),
      );
    const privates = read(constants.CKO_PRIVATE_KEY);
    const publics = read(constants.CKO_PUBLIC_KEY);
    const samePair = (a: FoundObject, b: FoundObject): boolean => (a.id === '' ? a.label === b.label : a.id === b.id);
    return [
      ...privates.map((key) => {
        const other = publics.find((candidate) => samePair(key, candidate));
        return { ...key, type: other?.type ?? key.type, publicKey: other?.publicKey };
      }),
      ...publics.filter((key) => !privates.some((candidate) => samePair(candidate, key))),
    ];
  });
}

/** @throws HostError `conflict` when label or id is taken. */
export function generatePair(module: OpenedModule, type: string, label: string, id: Uint8Array): TokenKey {
  const { cryptoki, constants } = module;
  const keyId = Buffer.from(id);
  const flags = constants.CKF_SERIAL_SESSION | constants.CKF_RW_SESSION;
  return withSession(module, flags, (session) => {
    for (const [name, attribute] of [
      ['label', { type: constants.CKA_LABEL, value: label }],
      ['id', { type: constants.CKA_ID, value: keyId }],
    ] as const) {
      if (find(module, session, [attribute]).length > 0)
        throw new HostError('conflict', `the token holds an object with this ${name} already`);
    }
    const curve = CURVES[type as keyof typeof CURVES];
    // What a key of this type could be used for besides signing.
    const otherUses = curve === undefined ? [constants.CKA_DECRYPT, constants.CKA_UNWRAP] : [constants.CKA_DERIVE];
    const named = [
      { type: constants.CKA_TOKEN, value: true },
      { type: constants.CKA_LABEL, value: label },
      { type: constants.CKA_ID, value: keyId },
    ];
    const pair = cryptoki.C_GenerateKeyPair(
      session,
      {
        mechanism: curve === undefined ? constants.CKM_RSA_PKCS_KEY_PAIR_GEN : constants.CKM_EC_KEY_PAIR_GEN,
      },
      [
        ...named,
        { type: constants.CKA_VERIFY, value: true },
        ...(curve === undefined
          ? [
              { type: constants.CKA_MODULUS_BITS, value: Number(type.slice('RSA-'.length)) },
              { type: constants.CKA_PUBLIC_EXPONENT, value: PUBLIC_EXPONENT },
            ]
          : [{ type: constants.CKA_EC_PARAMS, value: curve }]),
      ],
      // CT-6.2.1-a: it never leaves the token, and does nothing but sign.
      [
        ...named,
        { type: constants.CKA_PRIVATE, value: true },
        { type: constants.CKA_SENSITIVE, value: true },
        { type: constants.CKA_EXTRACTABLE, value: false },
        { type: constants.CKA_SIGN, value: true },
        ...otherUses.map((use) => ({ type: use, value: false })),
      ],
    );
    const { publicKey, type: made } = describe(module, session, pair.publicKey);
    return { ...describe(module, session, pair.privateKey), type: made, publicKey };
  });
}

function withSession<T>({ cryptoki, slot }: OpenedModule, flags: number, use: (session: Handle) => T): T {
  const session = cryptoki.C_OpenSession(slot, flags);
  try {
    return use(session);
  } finally {
    cryptoki.C_CloseSession(session);
  }
}

function find(
  { cryptoki, constants }: OpenedModule,
  session: Handle,
  template: { type: number; value: number | string | boolean | Buffer }[],
): readonly Handle[] {
  cryptoki.C_FindObjectsInit(session, [{ type: constants.CKA_TOKEN, value: true }, ...template]);
  try {
    return cryptoki.C_FindObjects(session, MAX_OBJECTS);
  } finally {
    cryptoki.C_FindObjectsFinal(session);
  }
}

function describe(module: OpenedModule, session: Handle, handle: Handle): FoundObject {
  const { cryptoki, constants } = module;
  /** One at a time: a token that does not know one attribute tells none of a list. */
  const read = (type: number): Buffer | undefined => {
    try {
      return cryptoki.C_GetAttributeValue(session, handle, [{ type }])[0]?.value;
    } catch {
      return undefined;
    }
  };
  const keyType = read(constants.CKA_KEY_TYPE)?.readUInt32LE(0);
  const modulus = keyType === constants.CKK_RSA ? read(constants.CKA_MODULUS) : undefined;
  const curve = keyType === constants.CKK_EC ? read(constants.CKA_EC_PARAMS) : undefined;
  return {
    label: read(constants.CKA_LABEL)?.toString('utf8') ?? '',
    id: read(constants.CKA_ID)?.toString('hex') ?? '',
    type: typeName(keyType, modulus, curve),
    publicKey: publicKeyOf(modulus, read(constants.CKA_PUBLIC_EXPONENT), curve, read(constants.CKA_EC_POINT)),
    sensitive: read(constants.CKA_SENSITIVE)?.[0] === 1,
    extractable: read(constants.CKA_EXTRACTABLE)?.[0] === 1,
  };
}

function typeName(keyType: number | undefined, modulus: Buffer | undefined, curve: Buffer | undefined): string {
  if (modulus !== undefined) return `RSA-${unsigned(modulus).toString(2).length}`;
  for (const [name, parameters] of Object.entries(CURVES)) if (curve?.equals(parameters)) return name;
  return keyType === undefined ? 'unknown' : `CKK 0x${keyType.toString(16)}`;
}

/** SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) from what the token tells of a public key. */
function publicKeyOf(
  modulus: Buffer | undefined,
  exponent: Buffer | undefined,
  curve: Buffer | undefined,
  point: Buffer | undefined,
): Buffer | undefined {
  if (modulus !== undefined && exponent !== undefined) {
    const key = tlv(0x30, integer(unsigned(modulus)), integer(unsigned(exponent)));
    return tlv(0x30, tlv(0x30, RSA_ENCRYPTION, Buffer.of(0x05, 0x00)), tlv(0x03, Buffer.of(0), key));
  }
  if (curve === undefined || point === undefined) return undefined;
  // PKCS#11 v2.40 §2.3.3: an OCTET STRING around the ECPoint, which some tokens leave out.
  const reader = new DerCursor(point);
  const inner = reader.next(0x04) && reader.atEnd ? reader.content() : point;
  return tlv(0x30, tlv(0x30, EC_PUBLIC_KEY, curve), tlv(0x03, Buffer.of(0), inner));
}

function unsigned(octets: Buffer): bigint {
  return octets.length === 0 ? 0n : BigInt(`0x${octets.toString('hex')}`);
}
