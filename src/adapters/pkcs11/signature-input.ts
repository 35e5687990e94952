/**
 * What the token is given to sign: a digest, made in the signer's process, so that a CRL of tens of megabytes goes neither through a pipe nor
 * into the device. For ECDSA it is CKM_ECDSA's input as it is (SoftHSM has no CKM_ECDSA_SHA256); for RSA it is wrapped into
 * the DigestInfo that CKM_RSA_PKCS pads (RFC 8017 §9.2), which every module has, where CKM_SHA256_RSA_PKCS wants all octets.
 */

/** DigestInfo up to the digest: AlgorithmIdentifier with NULL parameters, header of the OCTET STRING (RFC 8017 §9.2 note 1). */
const DIGEST_INFO = {
  sha256: Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  sha384: Buffer.from('3041300d060960864801650304020205000430', 'hex'),
  sha512: Buffer.from('3051300d060960864801650304020305000440', 'hex'),
};

type Hash = keyof typeof DIGEST_INFO;

const DIGEST_OCTETS = { sha256: 32, sha384: 48, sha512: 64 };

/** What stands before the digest in each input. */
export function inputPrefix(kind: 'rsa' | 'ecdsa', hash: Hash): Buffer {
  return kind === 'rsa' ? DIGEST_INFO[hash] : Buffer.alloc(0);
}

export function inputOctets(kind: 'rsa' | 'ecdsa', hash: Hash): number {
  return inputPrefix(kind, hash).length + DIGEST_OCTETS[hash];
}

export function signatureInput(kind: 'rsa' | 'ecdsa', hash: Hash, digest: Uint8Array): Buffer {
  return Buffer.concat([inputPrefix(kind, hash), digest]);
}
