/** Verdicts about responder certificates and the keys that sign. */
import { DAY, rfc3339 } from '../time.ts';
import { validityMs } from './answer-history.ts';
import type { Activated } from './log-history.ts';
import { duration, type Context, type Judge, type Judges, type Judged, met, notApplicable, notMet, notShown, number, plural, type ResponderFacts } from './judged.ts'; // prettier-ignore

/** SR-6.3.2-a, SJ-6.3.2-a; conflict C1. */
const RESPONDER_LIFE_MS = 125 * DAY;

export const KEY_CHECKS = {
  'responder-lifetime': ofResponders((used) => {
    const [longest] = [...used].sort((a, b) => lifeOf(b) - lifeOf(a));
    if (longest === undefined) return notShown('no certificate to look at');
    const more = {
      limit: `${duration(RESPONDER_LIFE_MS)}, the last second counted (001 and 003 §6.3.2; conflict C1)`,
      worst: `${duration(lifeOf(longest))}, certificate ${longest.id}: ${rfc3339(longest.notBefore)} to ${rfc3339(longest.notAfter)}`,
      look: 'certstatus lint FILE on the certificate',
    };
    return lifeOf(longest) > RESPONDER_LIFE_MS
      ? notMet('a responder certificate is valid for too long', more)
      : met('every responder certificate that signed is within the limit', more);
  }),

  'responder-profile': ofResponders((used) => {
    const wrong = used.find(({ errors }) => errors.length > 0);
    const figures = used.map(({ id, keyType }) => [`certificate ${id}`, keyType] as const);
    const more = { figures, look: 'certstatus lint FILE on the certificate' };
    return wrong === undefined
      ? met('every responder certificate that signed keeps each rule of the profile', more)
      : notMet('a responder certificate breaks the profile', { ...more, worst: `certificate ${wrong.id}: ${wrong.errors[0]}` }); // prettier-ignore
  }),

  'responder-archived': ofResponders((used) => {
    const missing = used.find(({ archived }) => !archived);
    const more = { figures: used.map(({ id }) => ['certificate', id] as const), look: 'certstatus archive verify' };
    return missing === undefined
      ? met('the certificate of every key that signed is in the archive', more)
      : notMet('a responder certificate that signed is not archived', { ...more, worst: `certificate ${missing.id}` });
  }),

  'responder-changes': ({ evidence }) => {
    const { count, first } = evidence.log.responderChanges;
    if (count === 0) return notApplicable('no responder certificate was requested, installed or retired in the period');
    return met('each step of the change is on record; answers of a retired key are not served', {
      figures: first.slice(0, 10).map(({ at, actor, description }) => [at, `${description}, by ${actor}`] as const),
      look: 'certstatus audit export --type responder.installed',
    });
  },

  'key-generation': ({ evidence }) => {
    const { count, first } = evidence.log.keysGenerated;
    if (count === 0) return notApplicable('no key was generated in the period');
    const alone = evidence.log.activated.find(({ persons }) => persons.length < 2);
    const more = {
      figures: first.slice(0, 10).map(({ at, actor, description }) => [at, `${description}, by ${actor}`] as const),
      look: 'certstatus audit export --type token.key-generated',
    };
    return alone === undefined
      ? met('keys were generated in tokens that several persons had activated', more)
      : notMet('a key was generated in a token that one person can activate', { ...more, worst: inWords(alone) });
  },

  activations: (context) =>
    ofTokens(context, () => {
      const { activated } = context.evidence.log;
      const within = activated.filter(({ at }) => Date.parse(at) >= context.evidence.from);
      // One that lasts may have been made before the period.
      const counted = within.length > 0 ? within : activated.slice(-1);
      const alone = counted.find(({ persons }) => persons.length < 2);
      const last = counted.at(-1);
      const look = 'certstatus audit verify; certstatus key list';
      if (last === undefined) return notShown('no activation is on record', { look });
      const more = {
        limit: 'two persons or more (001, 003 and 004 §6.2.8)',
        figures: [['activations in the period', number(within.length)], ...counted.slice(-10).map((one) => [one.at, inWords(one)] as const)] as const, // prettier-ignore
        look,
      };
      return alone === undefined
        ? met('each activation was made by several persons, whom its record names', more)
        : notMet('a token was activated by one person', { ...more, worst: inWords(alone) });
    }),

  deactivations: (context) =>
    ofTokens(context, () => {
      const { deactivated } = context.evidence.log;
      if (deactivated.length === 0) return notApplicable('no token was deactivated in the period');
      return met('each deactivation is on record: by several persons, or by the end of the process', {
        figures: deactivated.slice(-10).map((one) => [one.at, inWords(one)] as const),
        look: 'certstatus audit export --type token.deactivated',
      });
    }),
} satisfies Judges;

function inWords({ token, persons, source }: Activated): string {
  return `token ${token}: ${persons.join(', ')}${source === undefined ? '' : ` (${source})`}`;
}

function lifeOf({ notBefore, notAfter }: ResponderFacts): number {
  return validityMs(notBefore, notAfter);
}

/** Of the certificates that signed in the period, else of those that are configured. */
function ofResponders(judge: (used: readonly ResponderFacts[]) => Judged): Judge {
  return ({ issuer, archive, evidence }) => {
    const ids = new Set([...evidence.signatures.responders.keys(), ...issuer.responders]);
    if (ids.size === 0) return notApplicable('this issuer has no responder certificate');
    const used = [...ids].flatMap((id) => archive.responders.get(id) ?? []);
    return used.length < ids.size
      ? notShown(`${plural(ids.size - used.length, 'certificate')} that signed cannot be read: neither archive nor configuration has it`) // prettier-ignore
      : judge(used);
  };
}

/** Keys in files are activated by nobody. */
function ofTokens({ issuer }: Context, judge: () => Judged): Judged {
  const keys = [...issuer.keys, ...(issuer.crlKeys ?? [])];
  if (keys.length === 0) return notApplicable('no key of this issuer is used here: it is signed for elsewhere');
  const inFile = keys.find(({ token }) => token === undefined);
  return inFile === undefined ? judge() : notMet('a key is in a file: nobody activates it', { worst: inFile.describe });
}
