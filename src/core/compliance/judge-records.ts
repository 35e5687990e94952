/** Verdicts about the audit log, the archive, time, access, and what is done once a quarter or a year. */
import { DAY, rfc3339, SECOND } from '../time.ts';
import { longestLife } from './signature-history.ts';
import {
  duration,
  type Context,
  type Judge,
  type Judges,
  met,
  notApplicable,
  notMet,
  notShown,
  number,
  plural,
} from './judged.ts';

/** CT-5.7.1.2-a: annually, as the BR count a year. */
const YEAR_MS = 366 * DAY;
const QUARTER_MS = 92 * DAY;
/** CT-8.7, SR-8.7-a, SJ-8.7. */
const SAMPLE_PERCENT = 3;
const VERIFY = 'certstatus audit verify';

export const RECORDS = {
  'log-chain': ({ evidence, head }) => {
    const { journals } = evidence.log;
    const broken = journals.find((journal) => journal.broken !== undefined);
    const more = {
      figures: journals.map(({ name, records, head: last }) => [name, last === undefined ? 'no record' : `${number(records)} records, the last ${last.seq} with hash ${last.hash}`] as const), // prettier-ignore
      look: VERIFY,
    };
    if (broken?.broken !== undefined) return notMet(`the chain of ${broken.name} is broken`, { ...more, worst: broken.broken }); // prettier-ignore
    if (head?.problem !== undefined) return notMet('the end of the log is not what was written', { ...more, worst: head.problem }); // prettier-ignore
    const compared = head === undefined ? '; its end was not held against the ledger' : ', and its end is the one that the ledger knows'; // prettier-ignore
    return met(`every record was read again: none altered, missing or reordered${compared}`, more);
  },

  'log-signing': counted('signatures, CRLs and key events are on record', ['ocsp.', 'crl.', 'token.', 'responder.', 'drill.', 'offline.']), // prettier-ignore
  'log-entries': counted('each change of a status was recorded before it was signed', ['certificates.']),

  'log-security': ({ evidence }) => {
    const { starts, stops, crashes, denied, tokenTrouble, down } = evidence.log;
    const trouble = crashes.last ?? tokenTrouble.last;
    return met(
      'starts with the version that runs, stops, crashes, denied access and failures of tokens are on record',
      {
        ...(trouble !== undefined && { worst: `${trouble.at}: ${trouble.description}` }),
        figures: [
          ['starts, stops, crashes', `${starts.count}, ${stops.count}, ${crashes.count}`],
          ...(starts.last === undefined ? [] : [['last start', `${starts.last.at}, ${starts.last.description}`] as const]), // prettier-ignore
          ['denied accesses', number(denied.count)],
          ['failures of tokens', number(tokenTrouble.count)],
          ...(down.found === undefined ? [] : [['longest time down', `${duration(down.found.value)}, ${down.found.what}`] as const]), // prettier-ignore
        ],
        look: 'certstatus audit export --type service.started',
      },
    );
  },

  'log-age': ({ evidence }) => {
    const begins = evidence.log.journals.flatMap(({ name, from }) => (from === undefined ? [] : [[name, `from ${from}`] as const])); // prettier-ignore
    return met('each log is complete from its first record on, and no command removes one', {
      limit: 'two years after the key or certificate has ended (001, 003 and 004 §5.4.3)',
      figures: begins,
      look: VERIFY,
    });
  },

  'archive-verified': (context) => {
    const { verifications } = context.evidence.log;
    const within = 2 * context.issuer.verifyEveryMs;
    const last = verifications.at(-1);
    const look = 'certstatus archive verify';
    if (last === undefined)
      return youngerThan(context, within)
        ? notShown(`the archive has not been read again yet; it is due every ${duration(within / 2)}`, { look })
        : notMet('the archive was not read again', { look });
    const more = {
      limit: `every ${duration(within / 2)} by the configuration (001 and 003 §5.5.7 name no figure)`,
      figures: [['last', last.at], ['CRLs', number(last.crls)], ['unmended', number(last.problems)]] as const, // prettier-ignore
      look,
    };
    if (last.problems > 0) return notMet('the archive was read again, and something is wrong with it', more);
    return context.evidence.to - Date.parse(last.at) > within
      ? notMet('the archive was read again too long ago', more)
      : met('the archive was read again, and all is as it was', more);
  },

  'archive-copied': ({ issuer, evidence }) => {
    const last = evidence.log.verifications.findLast(({ copies }) => copies !== undefined);
    if (issuer.copies === undefined) return notShown('the configuration names no second place: set archive.copies');
    const more = { figures: [['second place', issuer.copies]] as const, look: 'certstatus archive verify' };
    return last === undefined
      ? notShown('the copies have not been read again yet: certstatus archive verify does it', more)
      : met(`copies are made after each CRL; ${plural(last.copies ?? 0, 'object was', 'objects were')} read again there ${last.at}`, more); // prettier-ignore
  },

  clock: ({ evidence }) => {
    const { clockBack, clockTrouble } = evidence.log;
    const more = {
      figures: [['steps back within the log', number(clockBack.count)], ['set, or found off', number(clockTrouble.count)]] as const, // prettier-ignore
      look: 'certstatus_clock_offset_seconds on /metrics; chronyc tracking',
    };
    return clockBack.found !== undefined && clockBack.found.value > SECOND
      ? notMet('the clock was set back', {
          ...more,
          worst: `${duration(clockBack.found.value)}, ${clockBack.found.what}`,
        })
      : clockTrouble.last !== undefined
        ? notMet('the clock was set or was off', {
            ...more,
            worst: `${clockTrouble.last.at}, ${clockTrouble.last.description}`,
          })
        : met('records are in the order of their instants; that the clock follows NTP, the operator shows', more);
  },

  denials: ({ evidence }) => {
    const { count, last } = evidence.log.denied;
    return met('who is not entitled is refused, and each refusal is on record', {
      figures: [['refusals', number(count)], ...(last === undefined ? [] : [['last', `${last.at}, ${last.actor}: ${last.description}`] as const])], // prettier-ignore
      look: 'certstatus audit export --type access.denied',
    });
  },

  drill: (context) => {
    const { lastDrill } = context.evidence.log;
    const look = 'certstatus drill; certstatus mass report PLAN; deploy/guide/mass-revocation.md';
    if (lastDrill === undefined)
      return youngerThan(context, YEAR_MS)
        ? notShown('no drill is on record yet: certstatus drill', { look })
        : notMet('no drill is on record', { look });
    const more = { limit: 'once a year (004 §5.7.1.2)', figures: [['last', `${lastDrill.at}, ${lastDrill.description}`]] as const, look }; // prettier-ignore
    return context.evidence.to - Date.parse(lastDrill.at) > YEAR_MS
      ? notMet('the last drill is more than a year ago', more)
      : met('a mass revocation was rehearsed or done within the year', more);
  },

  samples: (context) => {
    const last = context.evidence.log.samples.at(-1);
    const look = `certstatus sample --issuer ${context.issuer.id} --quarter QUARTER --percent ${SAMPLE_PERCENT} --minimum 2`;
    if (last === undefined)
      return youngerThan(context, QUARTER_MS)
        ? notShown('no sample was drawn yet in this quarter', { look })
        : notMet('no sample was drawn', { look });
    const more = {
      limit: `${SAMPLE_PERCENT} percent each quarter; 6 of EV, and 30 certificates of S/MIME (001, 003 and 004 §8.7)`,
      figures: [['last', last.at], ['of quarter', last.quarter], ['sampled', `${number(last.sampled)} of ${number(last.population)} (${last.percent} percent)`]] as const, // prettier-ignore
      look,
    };
    if (last.percent < SAMPLE_PERCENT) return notMet('the last sample is too small', more);
    return context.evidence.to - Date.parse(last.at) > QUARTER_MS
      ? notMet('the last sample is of an earlier quarter', more)
      : met('a random sample was drawn and looked at again', more);
  },

  'profiles-in-force': ({ evidence, issuer }) => {
    const { profiles } = evidence.log;
    if (profiles.length === 0) return notShown('no start of a process with this issuer is on record');
    return met('the report names each CA certificate by its fingerprint, and the profile that was in force', {
      figures: profiles.map(({ from, profile, description }) => [`from ${from}`, `preset ${profile.preset}, ${description}`] as const), // prettier-ignore
      look: `certstatus issuer show ${issuer.id}`,
    });
  },

  lifetimes: ({ issuer, evidence }) => {
    const { validity, tooLong, issued } = evidence.issued;
    if (issuer.profile.issues === 'ca-certificates' || !issuer.profile.authorities.includes('cabf-tls'))
      return notApplicable('these are not TLS certificates of subscribers');
    if (validity.found === undefined) return notApplicable('no certificate with its dates was recorded in the period');
    const more = {
      limit: `${duration(longestLife(evidence.to))} for certificates of now (004 §6.3.2; BR 6.3.2)`,
      worst: `${duration(validity.found.value)}, ${validity.found.what}`,
      figures: [['certificates', number(issued)], ['too long', number(tooLong)]] as const, // prettier-ignore
      look: 'certstatus audit export --type certificates.issued',
    };
    return tooLong > 0
      ? notMet(`${plural(tooLong, 'certificate is', 'certificates are')} valid for too long; status is given all the same`, more) // prettier-ignore
      : met('every certificate is valid for no longer than its date permits', more);
  },

  'within-ca': ({ issuer, evidence }) => {
    const { latest } = evidence.issued;
    const end = Math.max(...issuer.certificates.map(({ notAfter }) => notAfter));
    if (latest.found === undefined) return notApplicable('no certificate was recorded in the period');
    const more = {
      limit: `the CA certificate ends ${rfc3339(end)} (001 and 004 §5.6)`,
      worst: latest.found.what,
      look: `certstatus issuer show ${issuer.id}`,
    };
    return latest.found.value > end
      ? notMet('a certificate outlives its CA', more)
      : met('the CA certificate outlives what it issued in the period', more);
  },
} satisfies Judges;

function counted(reason: string, types: readonly string[]): Judge {
  return ({ evidence }) => {
    const figures = [...evidence.log.byType]
      .filter(([type]) => types.some((prefix) => type.startsWith(prefix)))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([type, count]) => [type, number(count)] as const);
    return figures.length === 0
      ? notApplicable('nothing of the kind happened in the period')
      : met(reason, { figures, look: 'certstatus audit export --type TYPE' });
  };
}

/** Too young to have what is due once in so long. */
function youngerThan({ evidence }: Context, ms: number): boolean {
  const begins = evidence.log.journals.flatMap(({ from }) => (from === undefined ? [] : [Date.parse(from)]));
  return begins.length === 0 || evidence.to - Math.min(...begins) <= ms;
}
