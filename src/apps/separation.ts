/**
 * Which rights of the admin port one person may not have together.
 *
 * SR-5.2.4: "Authorities for system operations, acts of approving, and audits are separated": who may audit does neither of the others.
 * SJ-5.2.4 lets the manager of the operation double as log inspector: that is `lax`, and must be chosen. All three in one hand is
 * permitted by nobody. Operating and activating may go together: 003 §5.2.1 gives both to the CA administrator, and a token
 * with a threshold asks for several of them anyway (CT-6.2.8).
 */
import type { Finding } from '../core/lint/finding.ts';
import { Problem } from '../core/problem.ts';
import type { IntakeConfig } from './intake-config.ts';

export function separationFindings(
  file: string,
  intake: IntakeConfig | undefined,
): {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Finding[];
} {
  const problems: Problem[] = [];
  const warnings: Finding[] = [];
  for (const { name, may } of intake?.clients ?? []) {
    if (!may.includes('audit')) continue;
    const beside = (['operate', 'activate'] as const).filter((right) => may.includes(right));
    if (beside.length === 0) continue;
    if (intake?.separation === 'lax' && !beside.includes('activate')) {
      warnings.push({
        severity: 'warning',
        rule: 'SJ-5.2.4',
        citation: file,
        message: `${name} may operate and audit: others than who operates should examine the log`,
      });
      continue;
    }
    const remedy = beside.includes('activate')
      ? 'give audit to somebody else'
      : 'give audit to somebody else, or set intake.separation: lax where the documents let the manager double';
    problems.push(
      new Problem('config', `audits are separated from operation and activation: ${remedy}`, {
        field: 'intake.clients',
        value: `${name}: ${[...beside, 'audit'].join(', ')}`,
        rule: 'SR-5.2.4, SJ-5.2.4',
      }),
    );
  }
  return { problems, warnings };
}
