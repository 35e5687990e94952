/**
 * Every alert of the service, by its name: the alerting rules (deploy/prometheus), the runbook (deploy/guide/runbook.md, one section
 * each) and the problems on the status page go by this list, and the tests hold them against it.
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
