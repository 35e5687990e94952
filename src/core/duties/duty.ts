/**
 * A duty: something that the documents of a CA ask of its status service, in one short sentence, with the way in which it is shown.
 * The catalogue (catalogue.ts) has every id of the requirements; the compliance report ends each of them in a verdict.
 */

export interface Chapter {
  readonly title: string;
  readonly duties: readonly Duty[];
}

export interface Duty {
  /** Several where documents ask for the same. */
  readonly ids: readonly string[];
  /** Document and section: 001 and 003 are the SECOM CPS, 002 is the Mozilla case, 004 is the Cybertrust CP/CPS. */
  readonly source: string;
  readonly text: string;
  readonly shown: Shown;
  /** Whom alone it concerns; undefined: every CA. */
  readonly binds?: Binding | undefined;
}

export type Shown =
  /** Figures from the audit log and the archive of the period. */
  | { readonly how: 'evidence'; readonly check: EvidenceCheck; readonly clause?: string }
  /** Values of the profile and the configuration that are in force. */
  | { readonly how: 'configured'; readonly check: ConfiguredCheck }
  /** The program makes anything else impossible, or a test of each release proves it; `where` an auditor can see that. */
  | {
      readonly how: 'enforced' | 'tested';
      readonly by: string;
      readonly where: string;
      /** Files of the source that do it or test it, each with words that stand in it: `test/e2e/http.test.ts: 405 with Allow`. */
      readonly proof: readonly string[];
      /** What of the duty this does not show. */
      readonly rest?: string | undefined;
    }
  /** Nothing that a program can show; `helps`: what this one contributes. */
  | { readonly how: 'operator'; readonly helps: string };

/** CAs under the Cybertrust CP/CPS, under the SECOM CPS, or those that issue CA certificates. */
export type Binding = 'cybertrust' | 'secom' | 'secom-root';

export type EvidenceCheck =
  | 'answer-validity'
  | 'answer-age'
  | 'answer-remaining'
  | 'first-answer'
  | 'coverage'
  | 'agreement'
  | 'availability'
  | 'latency'
  | 'answers-checked'
  | 'reasons'
  | 'crl-age'
  | 'crl-validity'
  | 'crl-delay'
  | 'crl-numbers'
  | 'crl-archive'
  | 'revoked-to-crl'
  | 'revoked-to-ocsp'
  | 'clause'
  | 'intake'
  | 'requesters'
  | 'key-proofs'
  | 'responder-lifetime'
  | 'responder-profile'
  | 'responder-archived'
  | 'responder-changes'
  | 'key-generation'
  | 'activations'
  | 'deactivations'
  | 'log-chain'
  | 'log-signing'
  | 'log-entries'
  | 'log-security'
  | 'log-age'
  | 'archive-verified'
  | 'archive-copied'
  | 'clock'
  | 'denials'
  | 'drill'
  | 'samples'
  | 'profiles-in-force'
  | 'lifetimes'
  | 'within-ca';

export type ConfiguredCheck =
  | 'both-channels'
  | 'explicit-timing'
  | 'responder-key-type'
  | 'ca-key-type'
  | 'ca-lifetime'
  | 'key-in-token'
  | 'several-persons'
  | 'per-operation'
  | 'delegated'
  | 'urls'
  | 'activators'
  | 'separation'
  | 'crl-retention'
  | 'crl-extensions';

type Rest = [source: string, text: string];

/** @param ids with spaces between. */
export function evidence(ids: string, source: string, text: string, check: EvidenceCheck, binds?: Binding): Duty {
  return duty(ids, [source, text], { how: 'evidence', check }, binds);
}

export function clause(number: number, text: string): Duty {
  const id = `4.9.1.1-${number}`;
  return duty(`CT-${id}`, ['004 §4.9.1.1', text], { how: 'evidence', check: 'clause', clause: id });
}

export function configured(ids: string, source: string, text: string, check: ConfiguredCheck, binds?: Binding): Duty {
  return duty(ids, [source, text], { how: 'configured', check }, binds);
}

type Proven = [...Rest, by: string, where: string, proof: readonly string[], rest?: string];

/** @param by what stops it. */
export function enforced(ids: string, ...[source, text, by, where, proof, rest]: Proven): Duty {
  return duty(ids, [source, text], { how: 'enforced', by, where, proof, rest });
}

/** @param by what the tests of each release do. */
export function tested(ids: string, ...[source, text, by, where, proof, rest]: Proven): Duty {
  return duty(ids, [source, text], { how: 'tested', by, where, proof, rest });
}

export function operator(ids: string, source: string, text: string, helps: string): Duty {
  return duty(ids, [source, text], { how: 'operator', helps });
}

function duty(ids: string, [source, text]: Rest, shown: Shown, binds?: Binding): Duty {
  return { ids: ids.split(' '), source, text, shown, ...(binds !== undefined && { binds }) };
}
