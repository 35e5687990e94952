/**
 * Every alert of the service, by its name: the alerting rules (deploy/prometheus), the runbook (deploy/guide/runbook.md, one section
 * each) and the problems on the status page go by this list, and the tests hold them against it: each alert has a rule, a section, and
 * a problem on the page or a place in ONLY_OUTSIDE.
 */

/** page: somebody gets up, because a promise breaks soon or is broken. ticket: somebody looks at it in working hours. */
export type Urgency = 'page' | 'ticket';

export const ALERTS = {
  ServiceDown: 'page',
  ProcessDown: 'ticket',
  AnswersStale: 'page',
  AnswersRefreshedLate: 'page',
  AnswersRunOut: 'page',
  AnswersNotCounted: 'ticket',
  CertificatesWithoutAnswer: 'page',
  RevocationNotInOcsp: 'page',
  RevocationNotOnCrl: 'page',
  RevocationDeadlineNear: 'page',
  IssuanceLate: 'page',
  CrlMissing: 'page',
  CrlLate: 'page',
  CrlRunsOut: 'page',
  CrlRefused: 'page',
  CrlTooLarge: 'ticket',
  CrlUrlsUndeclared: 'ticket',
  TokenUnusable: 'page',
  KeyUnusable: 'page',
  SigningFails: 'page',
  SigningRefused: 'page',
  BacklogGrows: 'ticket',
  AuditLogUnwritable: 'page',
  DiskFills: 'page',
  StoreUnusable: 'page',
  FeedSilent: 'page',
  ResponderCertificateDue: 'ticket',
  ResponderCertificateEnds: 'page',
  CaCertificateEnds: 'ticket',
  TlsCertificateEnds: 'ticket',
  ReloadRefused: 'ticket',
  ClockOff: 'page',
  ProbeFindings: 'page',
  SlowAnswers: 'ticket',
  LedgerDiffers: 'page',
  MonitorStopped: 'ticket',
  SampleWrong: 'page',
  ArchiveDamaged: 'page',
  ArchiveNotCopied: 'ticket',
  OfflineMaterialDue: 'ticket',
  OfflineMaterialEnds: 'page',
  MassRevocationStalled: 'page',
  MassRevocationSlow: 'page',
  ResponderProcessesDown: 'page',
  TryLaterServed: 'page',
  UnissuedFlood: 'ticket',
  ConnectionsShed: 'ticket',
} as const satisfies Readonly<Record<string, Urgency>>;

export type Alert = keyof typeof ALERTS;

/** What no process can say of itself, with the reason: whoever looks at the status page has to look elsewhere for it. */
export const ONLY_OUTSIDE = {
  ServiceDown: 'a process does not know of the others of its role; the page of one that is down does not open',
  ProcessDown: 'a process does not know of the others; the page of one that is down does not open',
} as const satisfies Partial<Record<Alert, string>>;

/** The alerts that are a problem on the status page too. */
export type ShownAlert = Exclude<Alert, keyof typeof ONLY_OUTSIDE>;

/**
 * Where each alert begins, for the status page; the rules of Prometheus say the same numbers, and a test compares them. Alerts whose
 * limit is 0 or 1 have none here. The arithmetic behind each stands above its rule in deploy/prometheus/alerts.rules.yml. Lengths of time
 * are in seconds, sizes in octets. `within`: of what was counted in the last so many seconds.
 */
export const ALERT_LIMITS = {
  AnswersRunOut: { left: 43_200 },
  AnswersNotCounted: { holds: 1800 },
  RevocationNotInOcsp: { waiting: 300, unseen: 7200 },
  RevocationNotOnCrl: { waiting: 1800, unseen: 14_400, offline: 300 },
  RevocationDeadlineNear: { left: { '24h': 21_600, '5d': 86_400 } },
  IssuanceLate: { within: 300 },
  MassRevocationSlow: { left: 64_800 },
  CrlLate: { patience: 3600 },
  /** `times`: what is left, so many times, is less than what has passed. */
  CrlRunsOut: { left: 259_200, times: 3 },
  CrlTooLarge: { octets: 8e6 },
  CrlUrlsUndeclared: { left: 259_200 },
  /** More than so many failures, and more than one in so many. */
  SigningFails: { failures: 3, oneIn: 10, within: 300 },
  SigningRefused: { within: 900 },
  BacklogGrows: { left: 14_400, within: 1800 },
  /** Full within `foretold` by the trend of `within`, once `after` was seen, and no more than `near` free. */
  DiskFills: { octets: 1e9, near: 2e10, foretold: 86_400, within: 21_600, after: 3600 },
  FeedSilent: { silent: 60 },
  ArchiveNotCopied: { waiting: 3600 },
  ResponderCertificateDue: { left: 1_209_600 },
  ResponderCertificateEnds: { left: 259_200 },
  CaCertificateEnds: { left: 22_464_000 },
  TlsCertificateEnds: { left: 1_209_600 },
  /** `times`: what is left, so many times, is less than its whole life. */
  OfflineMaterialDue: { left: 2_592_000, times: 2 },
  OfflineMaterialEnds: { left: 432_000, times: 2 },
  ClockOff: { offset: 2, within: 900 },
  SlowAnswers: { share: 0.99, seconds: 5, within: 1800 },
  /** A comparison may take long: its age counts less `durations` times what the last one took. */
  MonitorStopped: { age: 10_800, durations: 2 },
  /** In both windows; more than `questions` in the longer one. */
  TryLaterServed: { share: 0.0144, questions: 20, within: [300, 3600] },
  UnissuedFlood: { perSecond: 1, within: 300 },
  ConnectionsShed: { perSecond: 1, within: 300 },
} as const satisfies Partial<Record<ShownAlert, object>>;
