/** Verdicts from the profile and the configuration in force. */
import type { ConfiguredCheck } from '../duties/duty.ts';
import { DAY, formatDuration, rfc3339 } from '../time.ts';
import { validityMs } from './answer-history.ts';
import { duration, type Context, type Judge, met, notApplicable, notMet, notShown, type TokenFacts } from './judged.ts';

const LOOK = 'certstatus check-config; certstatus issuer show ID';
/** 120 months; 25 years of a root, 20 of any other CA. */
const MONTHS_120 = 3653 * DAY;
const YEARS_25 = 9132 * DAY;
const YEARS_20 = 7306 * DAY;
/** BR 5.5.2 and its like: two years, as limits.ts counts them. */
const TWO_YEARS = 732 * DAY;

export const CONFIGURED: Readonly<Record<ConfiguredCheck, Judge>> = {
  'both-channels': ({ issuer }) => {
    const figures = [
      ['responder certificates', issuer.responders.join(', ') || 'none'],
      ['CRLs', issuer.scopes.length === 0 ? 'none' : String(issuer.scopes.length)],
    ] as const;
    if (issuer.crlKeys === undefined && issuer.scopes.length === 0)
      return notMet('no CRL of this issuer is published here', { figures, look: LOOK });
    if (issuer.responders.length > 0 || issuer.ocspSignedBy === 'ca')
      return met('OCSP answers and CRLs are published', { figures, look: LOOK });
    return issuer.profile.issues === 'ca-certificates'
      ? notShown('there is no responder certificate: status of CA certificates is given by CRL alone', { figures, look: LOOK }) // prettier-ignore
      : notMet('there is no responder certificate: no answer is signed', { figures, look: LOOK });
  },

  'explicit-timing': ({ issuer: { profile } }) =>
    met('each period stands in the preset or in issuer.yaml; a start without one is refused', {
      figures: [
        ['answers', `valid ${formatDuration(profile.ocsp.validityMs)}, renewed after ${formatDuration(profile.ocsp.refreshAfterMs)}`], // prettier-ignore
        ['CRLs', `valid ${formatDuration(profile.crl.validityMs)}, every ${formatDuration(profile.crl.periodMs)}, ${formatDuration(profile.crl.coalesceMs)} after a revocation`], // prettier-ignore
        ['preset', profile.preset],
      ],
      look: LOOK,
    }),

  'responder-key-type': ({ issuer, archive }) => {
    const { keyTypes } = issuer.profile.responder;
    const used = [...archive.responders.values()].filter(({ id }) => issuer.responders.includes(id));
    const other = used.find(({ keyType }) => !(keyTypes as readonly string[]).includes(keyType));
    const more = {
      limit: `${keyTypes.join(', ')} (profile ${issuer.profile.preset})`,
      figures: used.map(({ id, keyType }) => [`certificate ${id}`, keyType] as const),
      look: LOOK,
    };
    if (used.length === 0) return notApplicable('this issuer has no responder certificate');
    return other === undefined
      ? met('every responder key is of a permitted type', more)
      : notMet(`the key of certificate ${other.id} is ${other.keyType}`, more);
  },

  'ca-key-type': ({ issuer }) => {
    const wanted = issuer.profile.authorities.includes('cybertrust') ? /^RSA-2048$/ : /^(?:RSA-(?:2048|3072|4096|8192)|P-(?:256|384|521))$/; // prettier-ignore
    const more = { figures: [['CA key', issuer.keyType]] as const, look: LOOK };
    return wanted.test(issuer.keyType)
      ? met('the CA key is of a permitted type and size', more)
      : notMet('the CA key is of another type or size', more);
  },

  'ca-lifetime': ({ issuer }) => {
    const { authorities, issues } = issuer.profile;
    const limit = authorities.includes('cybertrust') ? MONTHS_120 : issues === 'ca-certificates' ? YEARS_25 : YEARS_20;
    const figures = issuer.certificates.map(({ fingerprint, notBefore, notAfter }) => [fingerprint, `${rfc3339(notBefore)} to ${rfc3339(notAfter)}, ${duration(validityMs(notBefore, notAfter))}`] as const); // prettier-ignore
    const more = {
      limit: `${duration(limit)} (004 §6.3.2: 120 months; 001 and 003 §6.3.2: 20 years, roots 25)`,
      figures,
      look: LOOK,
    };
    return issuer.certificates.some(({ notBefore, notAfter }) => validityMs(notBefore, notAfter) > limit)
      ? notMet('a CA certificate is valid for too long', more)
      : met('no CA certificate is valid for longer', more);
  },

  'key-in-token': (context) => {
    const { inFile, figures, none } = keysOf(context);
    const more = { figures, look: 'certstatus key list' };
    if (none) return notApplicable('no key of this issuer is used here: it is signed for elsewhere');
    return inFile === undefined
      ? notShown('keys are in PKCS#11 tokens, not extractable; the grade of the device stands in its certificate, which the operator shows', more) // prettier-ignore
      : notMet('a key is in a file, not in an HSM', { ...more, worst: inFile });
  },

  'several-persons': (context) => {
    const { inFile, tokens, none } = keysOf(context);
    if (none) return notApplicable('no key of this issuer is used here: it is signed for elsewhere');
    if (inFile !== undefined) return notMet('a key is in a file: one person can use it', { worst: inFile, look: LOOK });
    const alone = tokens.find(({ threshold }) => (threshold ?? 1) < 2);
    const figures = tokens.map(({ name, source, threshold }) => [`token ${name}`, `${source}${threshold === undefined ? '' : `, ${threshold} persons`}`] as const); // prettier-ignore
    return alone === undefined
      ? met('the PIN of each token is divided: several persons enter their shares', { figures, look: LOOK })
      : notMet('one person can activate a token', { figures, worst: `token ${alone.name}: ${alone.source}`, look: LOOK }); // prettier-ignore
  },

  'per-operation': ({ issuer }) => {
    if (issuer.crlKeys === undefined) return notApplicable('the CA key is not used here');
    const { keyUse } = issuer.profile.crl;
    const more = { figures: [['crl.keyUse', keyUse]] as const, look: LOOK };
    return keyUse === 'per-operation'
      ? met('the token is logged in for each CRL and logged out after it', more)
      : notMet('the CA key stays logged in', more);
  },

  delegated: ({ issuer }) => {
    if (issuer.profile.issues !== 'ca-certificates') return notApplicable('this is no root');
    if (issuer.ocspSignedBy === 'ca') return notMet('answers are signed by the CA itself, offline', { look: LOOK });
    return issuer.responders.length === 0
      ? notApplicable('there is no responder certificate: status is given by CRL alone')
      : met('answers are signed by a delegated responder', { look: LOOK });
  },

  urls: ({ issuer }) => {
    const figures = (['ocsp', 'crl', 'caCertificate'] as const).map((kind) => [kind, issuer.urls[kind].join(', ') || 'none'] as const); // prettier-ignore
    const more = { figures, look: 'certstatus probe URL; the URLs in a certificate' };
    const none = figures.find(([, urls]) => urls === 'none');
    return none === undefined
      ? met(`served as preset ${issuer.profile.preset} has them from the document`, more)
      : notMet(`no URL for ${none[0]}`, more);
  },

  activators: ({ issuer }) => {
    const holders = issuer.clients.filter(({ may }) => may.includes('activate')).map(({ name }) => name);
    const { tokens } = issuer;
    if (tokens.length === 0) return notApplicable('no token is configured, so nothing is activated');
    const needed = Math.max(2, ...tokens.map(({ threshold }) => threshold ?? 1));
    const more = { figures: [['may activate', holders.join(', ') || 'nobody'], ['needed', String(needed)]] as const, look: LOOK }; // prettier-ignore
    return holders.length >= needed
      ? met('several persons hold the right to activate', more)
      : notMet('too few persons hold the right to activate', more);
  },

  separation: ({ issuer }) => {
    const both = issuer.clients.filter(({ may }) => may.includes('activate') && may.some((right) => ASKS.includes(right))); // prettier-ignore
    const figures = issuer.clients.slice(0, 20).map(({ name, may }) => [name, may.join(', ')] as const);
    if (issuer.clients.length === 0) return notApplicable('no client may use the intake of this process');
    return both[0] === undefined
      ? met('nobody who may activate keys may also issue or revoke', { figures, look: LOOK })
      : notMet('one account may both activate keys and issue or revoke', { figures, worst: both[0].name, look: LOOK });
  },

  'crl-retention': ({ issuer: { profile } }) => {
    const { retentionMs } = profile.archive;
    const more = { limit: '732 d (001, 003 and 004 §5.5.2; BR 5.5.2)', figures: [['archive.retention', retentionMs === undefined ? 'for ever' : formatDuration(retentionMs)]] as const, look: LOOK }; // prettier-ignore
    return retentionMs === undefined || retentionMs >= TWO_YEARS
      ? met('CRLs are kept for that long after nobody relies on them, records and log for ever', more)
      : notMet('CRLs are kept for too short a time', more);
  },

  'crl-extensions': ({ issuer: { profile, scopes } }) => {
    const { invalidityDate } = profile.crl;
    const more = {
      figures: [['invalidityDate', invalidityDate], ['CRLs', scopes.map((scope) => scope || 'complete').join(', ')]] as const, // prettier-ignore
      look: 'certstatus lint FILE on a CRL',
    };
    return invalidityDate === 'revocation-date' && scopes.every((scope) => scope === '')
      ? met('one complete CRL, with the entry extensions of the profile', more)
      : notMet('the CRL differs from the profile: it is one complete CRL with invalidityDate', more);
  },
};

const ASKS: readonly string[] = ['issue', 'revoke', 'import'];

function keysOf({ issuer }: Context): {
  readonly none: boolean;
  readonly inFile: string | undefined;
  readonly tokens: readonly TokenFacts[];
  readonly figures: readonly (readonly [string, string])[];
} {
  const keys = [...issuer.keys, ...(issuer.crlKeys ?? [])];
  const names = new Set(keys.map(({ token }) => token));
  return {
    none: keys.length === 0,
    inFile: keys.find(({ token }) => token === undefined)?.describe,
    tokens: issuer.tokens.filter(({ name }) => names.has(name)),
    figures: keys.map(({ describe, token }) => [token === undefined ? 'file' : `token ${token}`, describe] as const),
  };
}
