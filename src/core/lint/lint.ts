/**
 * Judges one response or one CRL by every rule of the authorities that bind it. Runs before everything that is published
 * (P6, B-38), so a response is decoded once and costs a few microseconds; and behind `lint FILE`, on anybody's file.
 */
import { findExtension } from '../der/document.ts';
import { OID } from '../der/oid.ts';
import type { CrlFrame } from '../crl/crl-frame.ts';
import { readCrl, type CrlEntryView, type CrlView } from '../crl/crl-reader.ts';
import { readIssuingDistributionPoint, type IssuingDistributionPoint } from '../crl/idp.ts';
import { decodeResponse, type DecodedResponse } from '../ocsp/response-reader.ts';
import { Problem } from '../problem.ts';
import { CABF_CRL_RULES, CABF_RESPONSE_RULES } from './cabf.ts';
import type { Finding } from './finding.ts';
import { RFC5280_RULES } from './rfc5280.ts';
import { RFC6960_RULES } from './rfc6960.ts';
import { RFC9919_RULES } from './rfc9919.ts';
import {
  binds,
  type CrlContext,
  type CrlRule,
  type LintedCrl,
  type ResponseContext,
  type ResponseRule,
} from './rule.ts';
import { SCOPE_RULES } from './scope.ts';
import { SERVED_CRL_RULES, SERVED_RESPONSE_RULES } from './served.ts';
import { SIGNED_CRL_RULES, SIGNED_RESPONSE_RULES } from './signed.ts';

export const RESPONSE_RULES: readonly ResponseRule[] = [
  ...RFC6960_RULES,
  ...RFC9919_RULES,
  ...CABF_RESPONSE_RULES,
  ...SIGNED_RESPONSE_RULES,
  ...SERVED_RESPONSE_RULES,
];
export const CRL_RULES: readonly CrlRule[] = [
  ...RFC5280_RULES,
  ...SCOPE_RULES,
  ...CABF_CRL_RULES,
  ...SIGNED_CRL_RULES,
  ...SERVED_CRL_RULES,
];

/** A defect in every entry of a large CRL is one defect: this many are shown, the rest counted. */
const SHOWN_ENTRIES_PER_RULE = 5;
/** Half a millisecond of work. */
const ENTRIES_PER_STEP = 1000;

/** Every finding about these octets; none means fit to publish. Octets that are no OCSPResponse are one finding. */
export function lintResponse(der: Uint8Array, context: ResponseContext = {}): Finding[] {
  const decoded = orFinding(() => decodeResponse(der));
  return 'severity' in decoded ? [decoded] : lintDecodedResponse(decoded, context);
}

/** The same, for octets that are decoded already. */
export function lintDecodedResponse(decoded: DecodedResponse, context: ResponseContext = {}): Finding[] {
  const { basic } = decoded;
  const findings: Finding[] = [];
  if (basic === undefined) return findings; // An error response is its status (O-03), and the decoder read nothing else.
  for (const rule of RESPONSE_RULES) {
    if (!binds(rule, context.authorities)) continue;
    const message = rule.check(basic, context, decoded);
    if (message !== undefined) findings.push(finding(rule, message));
  }
  return findings;
}

/** Every finding about these octets; none means fit to publish. Octets that are no CRL are one finding. */
export function lintCrl(der: Uint8Array, context: CrlContext = {}): Finding[] {
  const view = orFinding(() => readCrl(der));
  return 'severity' in view ? [view] : lintCrlView(view, context);
}

/** The same, for octets that are read already. */
export function lintCrlView(view: CrlView, context: CrlContext = {}): Finding[] {
  const steps = lintCrlInSteps(view, context);
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** The same, pausing every thousand entries: a million of them would hold up an event loop for half a second. */
export function* lintCrlInSteps(view: CrlView, context: CrlContext = {}): Generator<undefined, Finding[]> {
  const linting = new CrlLinting(view, context);
  try {
    let entries = 0;
    for (const entry of view.entries()) {
      if (++entries % ENTRIES_PER_STEP === 0) yield;
      linting.entry(entry);
    }
  } catch (error) {
    return [...linting.findings, unreadableAs(error)];
  }
  // In ascending order nothing can be listed twice. Only other CAs' CRLs pay for a set.
  return linting.end(linting.ascending ? 0 : countRepeated(view));
}

/** A CRL under lint whose entries come one after the other, or are known to be good without a look. */
export class CrlLinting {
  readonly #crl: LintedCrl;
  readonly #context: CrlContext;
  readonly #entryRules: readonly CrlRule[];
  readonly #found: Finding[] = [];
  /** Entries with a finding, by entryRule. */
  readonly #counts: number[];
  #before = '';
  #ascending = true;
  #entries = 0;

  /** Judges everything but the entries. */
  constructor(view: CrlFrame & Partial<Pick<CrlView, 'tbs'>>, context: CrlContext = {}) {
    const rules = CRL_RULES.filter((rule) => binds(rule, context.authorities));
    this.#context = context;
    this.#crl = {
      view,
      idp: readIdp(view),
      isDelta: findExtension(view.crlExtensions, OID.deltaCRLIndicator) !== undefined,
      tbs: view.tbs,
    };
    for (const rule of rules) {
      const message = rule.check?.(this.#crl, context);
      if (message !== undefined) this.#found.push(finding(rule, message));
    }
    this.#entryRules = rules.filter((rule) => rule.entry !== undefined);
    this.#counts = new Array<number>(this.#entryRules.length).fill(0);
  }

  /** Entries so far. */
  get entries(): number {
    return this.#entries;
  }

  /** Whether each serial so far was greater than the one before it. */
  get ascending(): boolean {
    return this.#ascending;
  }

  /** Findings so far, less those that only the end can show. */
  get findings(): readonly Finding[] {
    const more = this.#entryRules.flatMap((rule, i) => {
      const count = (this.#counts[i] as number) - SHOWN_ENTRIES_PER_RULE;
      return count > 0 ? [finding(rule, `and ${count} more entries`)] : [];
    });
    return [...this.#found, ...more];
  }

  entry(entry: CrlEntryView): void {
    this.#follows(1, entry.serial ?? '', entry.serial ?? '');
    this.#entryRules.forEach((rule, i) => {
      const message = rule.entry?.(entry, this.#crl, this.#context);
      if (message === undefined) return;
      const count = ((this.#counts[i] as number) += 1);
      if (count > SHOWN_ENTRIES_PER_RULE) return;
      const serial = Buffer.from(entry.serialOctets.subarray(0, 24)).toString('hex');
      this.#found.push(finding(rule, `entry ${this.#entries} (serial ${serial}): ${message}`));
    });
  }

  /** So many entries in ascending order that are octet for octet those of a CRL that these rules have passed. */
  passed(count: number, first: string, last: string): void {
    this.#follows(count, first, last);
  }

  /** Every finding. @param repeated serials that are listed more than once; ascending entries have none. */
  end(repeated = 0): Finding[] {
    const findings = [...this.findings];
    if (repeated > 0 && this.#crl.idp?.indirectCRL !== true)
      findings.push(finding(UNIQUE_ENTRIES, `${repeated} serials are listed more than once`));
    const wanted = this.#context.expected?.entries;
    if (wanted !== undefined && this.#entries !== wanted)
      findings.push(finding(EXPECTED_ENTRIES, `${this.#entries} entries, not ${wanted}`));
    return findings;
  }

  #follows(count: number, first: string, last: string): void {
    this.#ascending &&= first > this.#before;
    this.#before = last;
    this.#entries += count;
  }
}

function countRepeated(view: CrlView): number {
  const seen = new Set<string>();
  let repeated = 0;
  for (const { serialOctets } of view.entries()) {
    const serial = Buffer.from(serialOctets).toString('latin1');
    if (seen.has(serial)) repeated++;
    else seen.add(serial);
  }
  return repeated;
}

/** Undefined when there is none, or none that can be read (C-16). */
function readIdp(view: CrlFrame): IssuingDistributionPoint | undefined {
  const value = findExtension(view.crlExtensions, OID.issuingDistributionPoint)?.value;
  if (value === undefined) return undefined;
  const idp = orFinding(() => readIssuingDistributionPoint(value));
  return 'severity' in idp ? undefined : idp;
}

function finding({ severity, id, citation }: Pick<CrlRule, 'severity' | 'id' | 'citation'>, message: string): Finding {
  return { severity, rule: id, citation, message };
}

/** The value, or the finding that its octets cannot be read. */
function orFinding<T extends object>(read: () => T): T | Finding {
  try {
    return read();
  } catch (error) {
    return unreadableAs(error);
  }
}

/** @throws what is no Problem. */
function unreadableAs(error: unknown): Finding {
  if (!(error instanceof Problem)) throw error;
  return {
    severity: 'error',
    rule: error.rule ?? 'P-05',
    citation: 'X.690; Mozilla Root Store Policy §5.2',
    message: `${error.field ?? ''}: ${error.message}`,
  };
}

const UNIQUE_ENTRIES = {
  severity: 'error',
  id: 'e_crl_unique_revoked_certificate',
  citation: 'RFC 5280 §5.1.2.6',
} as const;
/** P5: the CRL lists what the ledger lists. */
const EXPECTED_ENTRIES = { severity: 'error', id: 'P5', citation: 'BR 4.9.7, 7.2' } as const;
