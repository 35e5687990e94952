/** The version that logs, the audit log and `--version` show. */
import { readFileSync } from 'node:fs';
import { deployFile } from './deploy-file.ts';

export const VERSION = (JSON.parse(readFileSync(deployFile('..', 'package.json'), 'utf8')) as { version: string })
  .version;
