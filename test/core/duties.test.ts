/** The catalogue of duties is held against the list of ids of the requirements: none forgotten, none invented, none twice. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';
import { CLAUSES } from '../../src/core/policy/clause.ts';
import { CATALOGUE } from '../../src/core/duties/catalogue.ts';

const FIXTURE = resolve(import.meta.dirname, '../../../test/fixtures/duty-ids.txt');
const wanted = readFileSync(FIXTURE, 'utf8').trim().split('\n');
const duties = CATALOGUE.flatMap((chapter) => chapter.duties);
const ids = duties.flatMap((duty) => duty.ids);

describe('the catalogue of duties', () => {
  it('has every id of the requirements once', () => {
    assert.deepEqual(
      wanted.filter((id) => !ids.includes(id)),
      [],
      'forgotten',
    );
    assert.deepEqual(
      ids.filter((id) => !wanted.includes(id)),
      [],
      'invented',
    );
    assert.deepEqual(
      ids.filter((id, at) => ids.indexOf(id) !== at),
      [],
      'twice',
    );
  });

  it('has a duty for each ground of revocation', () => {
    const clauses = duties.flatMap(({ shown }) => (shown.how === 'evidence' ? (shown.clause ?? []) : []));
    assert.deepEqual(clauses, CLAUSES.filter(({ withinMs }) => withinMs !== undefined).map(({ id }) => id)); // prettier-ignore
  });

  it('says of each in one sentence what is asked, and by which document', () => {
    for (const { ids, source, text } of duties) {
      assert.match(text, /^[A-Z].{10,140}\.$/, ids[0]);
      assert.match(source, /^(?:00[1-4]|CA)/, ids[0]);
    }
  });
});
