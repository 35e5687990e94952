/** Lessons: backups. */
import type { Lessons } from './lesson.ts';

const GUIDE = 'deploy/guide/backup.md';

export const BACKUP_LESSONS: Lessons = {
  'backup create': {
    about:
      'Copies a data directory while the service runs or is stopped: ledger, answers, CRLs, audit log, issuers and configuration. It has no private key, wherever one lies (CT-6.2.5).',
    when: 'Use it every night, on the machine of the service.',
    examples: [{ run: 'certstatus backup create --out backup-1' }],
    prints: 'what was copied and what was left out, with the SHA-256 of the manifest',
    more: GUIDE,
  },
  'backup check': {
    about:
      'Reads a backup again: every digest, and the chain of the audit log. It needs no service and no configuration.',
    when: 'Use it after a backup was copied elsewhere, and before it is restored.',
    examples: [{ run: 'certstatus backup check backup-1' }],
    prints: 'what is in it, and whatever is wrong',
    exits: '0 whole, 1 something is wrong, 2 wrong usage',
    more: GUIDE,
  },
  'backup restore': {
    about: 'Puts a backup where no data directory is, after checking it. The private keys that it names are then brought back by whoever keeps them.', // prettier-ignore
    when: 'Use it after a loss, before the first start on the new machine.',
    examples: [{ run: 'certstatus backup restore backup-1 --into restored' }],
    prints: 'what is to be brought, and the command that comes next',
    more: GUIDE,
  },
  'backup drill': {
    about:
      'Takes a backup, restores it beside the running service, serves it without keys, and asks it for random certificates. The running service is not touched.',
    when: 'Use it once a year at least (CT-5.7.1.1-a).',
    examples: [
      { run: 'certstatus backup drill --certificates 10 --out drill-backup.md' },
      { run: 'certstatus backup drill --backup backup-1 --certificates 10', does: 'of one that is there, which may be months old' }, // prettier-ignore
    ],
    prints: 'the report as Markdown, also into --out: what was restored, how long it took, what was asked',
    exits: '0 everything agreed, 1 something is wrong, 2 wrong usage',
    more: GUIDE,
  },
};
