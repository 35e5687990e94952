/** deploy/guide/how-it-works.md shows the matrix that the clients are held to, and nothing else. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { it } from 'node:test';
import { CLIENTS, SCENARIOS, type Client } from './matrix.ts';
import { renderTable, tableIn, withTable } from './table.ts';

const readme = readFileSync(resolve(import.meta.dirname, '../../../deploy/guide/how-it-works.md'), 'utf8');

it('deploy/guide/how-it-works.md has the table of clients as they are expected (npm run clients)', () => {
  assert.equal(
    tableIn(readme),
    renderTable(({ verdicts }, scenario) => verdicts[scenario]),
  );
});

it('no client takes for good what is revoked, never issued, or without a responder certificate', () => {
  const clients: readonly Client[] = Object.values(CLIENTS);
  for (const { id, verdicts } of clients) {
    for (const scenario of ['p256Revoked', 'rsaRevoked', 'neverIssued', 'expiredResponder'] as const)
      assert.ok(verdicts[scenario] !== undefined && verdicts[scenario] !== 'good', `${id}, ${scenario}`);
    for (const scenario of ['p256Good', 'rsaGood', 'rollOverOld', 'rollOverNew'] as const)
      assert.equal(verdicts[scenario], 'good', `${id}, ${scenario}`);
  }
});

it('a table with another verdict, row or column is another table', () => {
  const expected = renderTable(({ verdicts }, scenario) => verdicts[scenario]);
  const [first] = SCENARIOS;
  const other = renderTable(({ verdicts }, scenario) => (scenario === first.id ? 'revoked' : verdicts[scenario]));
  assert.notEqual(other, expected);
  assert.equal(tableIn(withTable(readme, other, 'Seen with | nothing.')), other);
  assert.equal(expected.split('\n').length, 2 + Object.keys(CLIENTS).length);
});
