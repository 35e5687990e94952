/** Every duty, in the order of the report. */
import type { Chapter } from './duty.ts';
import { KEYS } from './keys.ts';
import { ACCESS, CHANGEOVER, CONTINUITY, REVIEW, SYSTEMS } from './organization.ts';
import { LIFETIMES, MOZILLA, PRIVACY, REPOSITORY } from './publication.ts';
import { ARCHIVE, AUDIT_LOG, TIME } from './records.ts';
import { REVOCATION } from './revocation.ts';
import { CRLS, OCSP } from './status.ts';

export const CATALOGUE: readonly Chapter[] = [
  OCSP,
  CRLS,
  REVOCATION,
  KEYS,
  AUDIT_LOG,
  ARCHIVE,
  TIME,
  ACCESS,
  SYSTEMS,
  CONTINUITY,
  CHANGEOVER,
  REVIEW,
  PRIVACY,
  REPOSITORY,
  LIFETIMES,
  MOZILLA,
];
