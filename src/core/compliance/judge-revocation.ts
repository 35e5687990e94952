/** Verdicts about revocations: their clocks, grounds, and who asked. */
import { parseClause } from '../policy/clause.ts';
import { RECORDED_TO_CRL_MS } from '../revocation-report.ts';
import { duration, type Judges, type Judged, type Context, met, notApplicable, notMet, notShown, number, plural } from './judged.ts'; // prettier-ignore

const NOTHING_REVOKED = 'nothing was revoked in the period';

export const REVOCATIONS = {
  reasons: ({ issuer, evidence }) => {
    const { byReason, revocations } = evidence.revocations;
    if (revocations === 0) return notApplicable(NOTHING_REVOKED);
    const permitted: readonly string[] = ['none', ...issuer.profile.reasons.permitted];
    const other = [...byReason.keys()].filter((reason) => !permitted.includes(reason));
    const more = {
      limit: `${permitted.join(', ')} (004 §7.2)`,
      figures: [...byReason].map(([reason, count]) => [reason, number(count)] as const),
      look: 'certstatus audit export --type certificates.revoked',
    };
    return other.length === 0
      ? met('every reason is one that the profile permits', more)
      : notMet(`recorded with another reason: ${other.join(', ')}`, more);
  },

  'revoked-to-crl': ({ issuer, evidence }) => {
    const { revocations, toCrl, notOnCrl, crlLate, seen } = evidence.revocations;
    if (toCrl.found === undefined) return notApplicable(NOTHING_REVOKED);
    const more = {
      limit: `${duration(RECORDED_TO_CRL_MS)} from the record (004 §4.9.7; BR 4.9.7)`,
      worst: `${duration(toCrl.found.value)}, ${toCrl.found.what}`,
      figures: [
        ['revocations', number(revocations)],
        ['seen from outside by the monitor', number(seen)],
        ['late', number(crlLate)],
        ['on no CRL by the end', number(notOnCrl)],
      ] as const,
      look: `certstatus report revocations --issuer ${issuer.id}`,
    };
    if (crlLate > 0) return notMet(`${plural(crlLate, 'revocation was', 'revocations were')} late`, more);
    return notOnCrl > 0
      ? met(`${plural(notOnCrl, 'revocation waits', 'revocations wait')} for a CRL, still within the time`, more)
      : met('every revocation was on a CRL in time', more);
  },

  'revoked-to-ocsp': ({ issuer, evidence }) => {
    const { revocations, toOcsp, notOnOcsp } = evidence.revocations;
    if (toOcsp.found === undefined) return notApplicable(NOTHING_REVOKED);
    if (issuer.responders.length === 0 && issuer.ocspSignedBy === 'responder')
      return notApplicable('this issuer has no responder certificate: see the duty on CRLs');
    const more = {
      limit: `${duration(RECORDED_TO_CRL_MS)} (BR 4.9.5; "promptly" in 004 §4.9.5 has no figure)`,
      worst: `${duration(toOcsp.found.value)}, ${toOcsp.found.what}`,
      figures: [['revocations', number(revocations)], ['not in OCSP by the end', number(notOnOcsp)]] as const, // prettier-ignore
      look: `certstatus report revocations --issuer ${issuer.id}`,
    };
    return toOcsp.found.value > RECORDED_TO_CRL_MS
      ? notMet('a revocation was late in OCSP', more)
      : met('every revocation was in OCSP in time', more);
  },

  intake: ({ evidence }) => {
    const { revocations, byActor } = evidence.revocations;
    const { issued, imported } = evidence.issued;
    const { down, starts, crashes } = evidence.log;
    const more = {
      figures: [
        ['revocations taken', number(revocations)],
        ['by', [...byActor].slice(0, 5).map(([actor, count]) => `${actor}: ${number(count)}`).join('; ') || 'nobody'], // prettier-ignore
        ['certificates taken', number(issued + imported)],
        ['starts, crashes', `${starts.count}, ${crashes.count}`],
      ] as const,
      look: 'certstatus audit export --type service.started',
    };
    return down.found === undefined
      ? met('the service ran all the time, and takes revocations whatever else it does', more)
      : notShown('a process was down: whether another one took revocations meanwhile, its log must show', {
          ...more,
          worst: `${duration(down.found.value)}, ${down.found.what}`,
        });
  },

  requesters: ({ evidence }) => {
    const { revocations, withRequester, withClause, byActor } = evidence.revocations;
    if (revocations === 0) return notApplicable(NOTHING_REVOKED);
    return met('each record names the authenticated client that asked, and what it said of ground and requester', {
      figures: [
        ['revocations', number(revocations)],
        ['with a clause', number(withClause)],
        ['with words of who asked', number(withRequester)],
        ['clients', [...byActor.keys()].slice(0, 10).join('; ')],
      ],
      look: 'certstatus audit export --type certificates.revoked',
    });
  },

  'key-proofs': ({ evidence }) => {
    const { count, last } = evidence.log.keyProofs;
    if (count === 0 || last === undefined) return notApplicable('nobody reported a compromised key in the period');
    return met('each report was held against the public key of the certificate before it was recorded', {
      figures: [
        ['reports', number(count)],
        ['last', `${last.at}, ${last.description}`],
      ],
      look: 'certstatus audit export --type key.compromised',
    });
  },
} satisfies Judges;

/** One of the sixteen grounds. */
export function judgeClause(id: string, { issuer, evidence }: Context): Judged {
  const figures = evidence.revocations.byClause.get(id);
  const least = figures?.margin.found;
  if (figures === undefined || least === undefined) return notApplicable('no revocation with this clause in the period'); // prettier-ignore
  const { withinMs = 0 } = parseClause(id);
  const { revocations, late, open } = figures;
  const more = {
    limit: `${duration(withinMs)} from awareness to OCSP and CRL (004 §4.9.1.1; BR 4.9.1.1, 4.9.5)`,
    worst: `margin ${duration(least.value)}, ${least.what}`,
    figures: [['revocations', number(revocations)], ['late', number(late)], ['open', number(open)]] as const, // prettier-ignore
    look: `certstatus report revocations --issuer ${issuer.id}`,
  };
  if (late > 0) return notMet(`${plural(late, 'revocation was', 'revocations were')} published late`, more);
  return met(open > 0 ? `${number(open)} not published yet, still within the limit` : 'each was published in time', more); // prettier-ignore
}
