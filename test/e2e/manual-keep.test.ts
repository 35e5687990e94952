import { BACKUP_LESSONS } from '../../src/apps/manual/backup.ts';
import { CRL_LESSONS } from '../../src/apps/manual/crls.ts';
import { KEY_LESSONS } from '../../src/apps/manual/keys.ts';
import { OFFLINE_LESSONS } from '../../src/apps/manual/offline.ts';
import { runExamples } from '../support/examples.ts';

runExamples({ ...CRL_LESSONS, ...BACKUP_LESSONS, ...KEY_LESSONS, ...OFFLINE_LESSONS });
