/** The version that logs, the audit log and `--version` show. */
import { readFileSync } from 'node:fs';
import { PACKAGE_ROOT } from './presets.ts';

export const VERSION = (JSON.parse(readFileSync(`${PACKAGE_ROOT}/package.json`, 'utf8')) as { version: string }).version;
