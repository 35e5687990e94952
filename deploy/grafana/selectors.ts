/** Selectors: the installations, and in them the issuers, that are chosen at the top of each dashboard. */
export const J = '{job=~"$job"}';
export const I = '{job=~"$job",issuer=~"$issuer"}';
export const of = (...labels: readonly string[]): string => `{job=~"$job",${labels.join(',')}}`;

export const HOUR = 3600;
export const DAY = 86_400;
