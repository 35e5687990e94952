/** Which shares of a PIN are taken, from whom (CT-6.2.2, SR-6.4.1). What a set of them makes is found out by combining it (core/pin.ts). */
import { timingSafeEqual } from 'node:crypto';
import { Problem } from '../../core/problem.ts';
import type { Share } from '../../core/share.ts';
import type { Token } from '../../ports/token.ts';
import type { Person } from './token-records.ts';

export interface Entered {
  readonly person: Person;
  readonly share: Share;
}

/** What the rules ask of a token. */
interface Shared {
  readonly token: Pick<Token, 'name' | 'state'>;
  readonly threshold: number | undefined;
  readonly source: string;
}

/**
 * May this person enter this share now?
 * @param entries what others have entered and is waiting. @throws Problem `refused`, `conflict`
 */
export function checkShare(at: Shared, entries: readonly Entered[], share: Share, person: Person): void {
  const { name } = at.token;
  const refuse = (message: string): Problem =>
    new Problem('refused', message, { field: 'share', rule: 'CT-6.2.2, SR-6.4.1' });
  if (at.threshold === undefined) throw refuse(`token ${name} is not activated by shares, but by ${at.source}`);
  mustNotBeActive(at.token);
  if (share.token !== name) throw refuse(`is for token ${share.token}, not ${name}`);
  if (share.threshold !== at.threshold)
    throw refuse(`was made for a threshold of ${share.threshold}; token ${name} is configured with ${at.threshold}`);
  if (entries.some((entry) => entry.person.name === person.name))
    throw refuse(`${person.name} has entered a share already; another person must enter the next one`);
  const first = entries[0];
  if (first === undefined) return;
  if (first.share.set !== share.set || first.share.octets.length !== share.octets.length)
    throw refuse(`is of set ${share.set}, but ${first.person.name} entered one of set ${first.share.set}`);
  const same = entries.find(
    (entry) => entry.share.index === share.index || timingSafeEqual(entry.share.octets, share.octets),
  );
  if (same !== undefined) throw refuse(`is the one that ${same.person.name} has entered`);
}

/** The first share, alone there, by one of another set from the same person. */
export function isCorrection(
  { token, threshold }: Shared,
  entries: readonly Entered[],
  share: Share,
  person: Person,
): boolean {
  if (share.token !== token.name || share.threshold !== threshold) return false;
  const [first, second] = entries;
  return first?.person.name === person.name && second === undefined && first.share.set !== share.set;
}

/** @throws Problem `conflict` */
export function mustNotBeActive({ name, state }: Shared['token']): void {
  if (state === 'active') throw new Problem('conflict', `token ${name} is active`, { field: 'token', value: name });
}
