/**
 * What each client is expected to make of our answers: one row for each client, one column for each situation. The clients are
 * real programs and decide themselves; where one has reasons of its own to differ, its row says which. deploy/guide/how-it-works.md shows this
 * table, and is held against it.
 */
import type { SubjectName } from './world.ts';

export interface Scenario {
  readonly id: string;
  /** Head of the column. */
  readonly title: string;
  /** The certificate that is asked about. */
  readonly subject: SubjectName;
}

export const SCENARIOS = [
  { id: 'p256Good', title: 'good, P-256 responder', subject: 'p256Good' },
  { id: 'p256Revoked', title: 'revoked, P-256', subject: 'p256Revoked' },
  { id: 'rsaGood', title: 'good, RSA-2048', subject: 'rsaGood' },
  { id: 'rsaRevoked', title: 'revoked, RSA-2048', subject: 'rsaRevoked' },
  { id: 'rollOverOld', title: 'roll-over: by the old certificate', subject: 'rollOverOld' },
  { id: 'rollOverNew', title: 'roll-over: by the new one', subject: 'rollOverNew' },
  { id: 'sha256', title: 'SHA-256 CertID', subject: 'p256Good' },
  { id: 'nonce', title: 'nonce asked for, `ignore`', subject: 'p256Good' },
  { id: 'nonceLive', title: 'nonce asked for, `live`', subject: 'liveNonce' },
  { id: 'neverIssued', title: 'never issued', subject: 'neverIssued' },
  { id: 'expiredResponder', title: 'responder certificate expired', subject: 'expiredResponder' },
] as const satisfies readonly Scenario[];

export type ScenarioId = (typeof SCENARIOS)[number]['id'];

export function asksForNonce(scenario: ScenarioId): boolean {
  return scenario === 'nonce' || scenario === 'nonceLive';
}

/**
 * What a client ends with, in one word where it has one. `no status`: it refuses the certificate because it learnt nothing.
 * `no staple`: the visitor of the server gets none; behind the colon, what the server has understood.
 */
export type Verdict =
  | 'good'
  | 'revoked'
  | 'unauthorized'
  | 'tryLater'
  | 'no status'
  | 'no nonce: refused'
  | 'no staple'
  | 'no staple: revoked'
  | 'no staple: unauthorized'
  | 'no staple: tryLater';

export interface Client {
  readonly id: string;
  /** Head of the row. */
  readonly title: string;
  /** Without which there is no such client here. */
  readonly program: string;
  /** Method and version of HTTP with which its requests arrive, by our own metrics; absent when it sends none. */
  readonly asks?: readonly string[];
  /** Absent where the client cannot be made to ask so. */
  readonly verdicts: Readonly<Partial<Record<ScenarioId, Verdict>>>;
}

/** Both kinds of responder key and both certificates of a roll-over, to a client that believes what is right. */
const BELIEVED = {
  p256Good: 'good',
  p256Revoked: 'revoked',
  rsaGood: 'good',
  rsaRevoked: 'revoked',
  rollOverOld: 'good',
  rollOverNew: 'good',
} as const;

export const CLIENTS = {
  openssl: {
    id: 'openssl',
    title: '`openssl ocsp`',
    program: 'openssl',
    asks: ['POST 1.0'],
    // Asks for a nonce unless told otherwise; warns when there is none, and believes (RFC 9654 §2.1 leaves it to the client).
    verdicts: {
      ...BELIEVED,
      sha256: 'good',
      nonce: 'good',
      nonceLive: 'good',
      neverIssued: 'unauthorized',
      expiredResponder: 'tryLater',
    },
  },
  ocsptool: {
    id: 'ocsptool',
    title: 'GnuTLS `ocsptool`',
    program: 'ocsptool',
    asks: ['POST 1.0'],
    // --nonce is an option, and means: not without (measured). An answer signed ahead has none (RFC 9919 §3.2.1).
    verdicts: {
      ...BELIEVED,
      nonce: 'no nonce: refused',
      nonceLive: 'good',
      neverIssued: 'unauthorized',
      expiredResponder: 'tryLater',
    },
  },
  gnutlsCli: {
    id: 'gnutlsCli',
    title: '`gnutls-cli --ocsp`',
    program: 'gnutls-cli',
    asks: ['POST 1.0'],
    // Always asks for a nonce, and believes an answer without one (measured).
    verdicts: {
      ...BELIEVED,
      nonce: 'good',
      nonceLive: 'good',
      neverIssued: 'no status',
      expiredResponder: 'no status',
    },
  },
  javaGet: {
    id: 'javaGet',
    title: 'Java PKIX, GET',
    program: 'javac',
    asks: ['GET 1.1'],
    // Says UNSPECIFIED and UNDETERMINED_REVOCATION_STATUS for the two errors (peers.md Part 2 §4.2).
    verdicts: {
      ...BELIEVED,
      nonce: 'good',
      nonceLive: 'good',
      neverIssued: 'unauthorized',
      expiredResponder: 'tryLater',
    },
  },
  javaPost: {
    id: 'javaPost',
    title: 'Java PKIX, POST',
    program: 'javac',
    asks: ['POST 1.1'],
    verdicts: {
      ...BELIEVED,
      nonce: 'good',
      nonceLive: 'good',
      neverIssued: 'unauthorized',
      expiredResponder: 'tryLater',
    },
  },
  nss: {
    id: 'nss',
    title: 'NSS `vfychain` (libpkix)',
    program: 'vfychain',
    // By POST what GET has not settled.
    asks: ['GET 1.0', 'POST 1.0'],
    // When it may not accept without a status it calls everything else revoked (peers.md Part 2 §4.2); that it knows better
    // shows when it may: then only what is revoked is refused.
    verdicts: { ...BELIEVED, neverIssued: 'no status', expiredResponder: 'no status' },
  },
  nginx: {
    id: 'nginx',
    title: 'nginx, stapling and verifying',
    program: 'nginx',
    asks: ['GET 1.0'],
    // Staples nothing but good (peers.md Part 2 §4.2); what it has understood is in its log.
    verdicts: {
      ...BELIEVED,
      p256Revoked: 'no staple: revoked',
      rsaRevoked: 'no staple: revoked',
      neverIssued: 'no staple: unauthorized',
      expiredResponder: 'no staple: tryLater',
    },
  },
  apache: {
    id: 'apache',
    title: 'Apache mod_ssl, stapling',
    program: 'apache2',
    asks: ['POST 1.0'],
    // Staples errors to its visitors as they came (peers.md Part 2 §4.2).
    verdicts: { ...BELIEVED, neverIssued: 'unauthorized', expiredResponder: 'tryLater' },
  },
  apacheMd: {
    id: 'apacheMd',
    title: 'Apache mod_md, stapling',
    program: 'apache2',
    asks: ['POST 1.1'],
    // Always asks for a nonce and takes an answer without one (peers.md Part 2 §4.1).
    verdicts: {
      ...BELIEVED,
      nonce: 'good',
      nonceLive: 'good',
      neverIssued: 'no staple',
      expiredResponder: 'no staple',
    },
  },
  apacheClients: {
    id: 'apacheClients',
    title: 'Apache mod_ssl, certificates of its visitors',
    program: 'apache2',
    asks: ['POST 1.0'],
    // Asks for a nonce by default and insists on it; all but one column are with `SSLOCSPUseRequestNonce off` (peers.md Part 2 §4.1).
    verdicts: {
      ...BELIEVED,
      nonce: 'no nonce: refused',
      nonceLive: 'good',
      neverIssued: 'unauthorized',
      expiredResponder: 'tryLater',
    },
  },
  nginxClients: {
    id: 'nginxClients',
    title: 'nginx, certificates of its visitors',
    program: 'nginx',
    asks: ['GET 1.0'],
    verdicts: { ...BELIEVED, neverIssued: 'unauthorized', expiredResponder: 'tryLater' },
  },
  haproxy: {
    id: 'haproxy',
    title: 'HAProxy, given our answer by `set ssl ocsp-response`',
    program: 'haproxy',
    // It finds the certificate by a SHA-1 CertID alone, and takes no error for an answer.
    verdicts: { ...BELIEVED, neverIssued: 'no staple: unauthorized', expiredResponder: 'no staple: tryLater' },
  },
  curlNginx: {
    id: 'curlNginx',
    title: '`curl --cert-status`, by nginx',
    program: 'curl',
    verdicts: {
      ...BELIEVED,
      p256Revoked: 'no staple',
      rsaRevoked: 'no staple',
      neverIssued: 'no staple',
      expiredResponder: 'no staple',
    },
  },
  curlApache: {
    id: 'curlApache',
    title: '`curl --cert-status`, by Apache',
    program: 'curl',
    verdicts: { ...BELIEVED, neverIssued: 'unauthorized', expiredResponder: 'tryLater' },
  },
} as const satisfies Readonly<Record<string, Client>>;
