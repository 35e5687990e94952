/** A browser as far as HTTP goes: keeps its cookie, sends what a browser sends with a form. */
import { signInLink } from '../../src/apps/admin/local-secret.ts';
import { exchange, type HttpAnswer } from './http.ts';

type Fields = Readonly<Record<string, string>>;

export class AdminClient {
  readonly port: number;
  cookie = '';

  constructor(port: number) {
    this.port = port;
  }

  /** With a link as `certstatus sign-in` makes it. @throws when it does not let in. */
  static async signedIn(dataDir: string, port: number): Promise<AdminClient> {
    const client = new AdminClient(port);
    const answer = await client.useLink(signInLink(dataDir, client.base).url);
    if (answer.status !== 303) throw new Error(`sign-in: ${answer.status} ${answer.body.toString()}`);
    return client;
  }

  get base(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Presses the button of the link's page. */
  useLink(url: string): Promise<HttpAnswer> {
    return this.post('/sign-in', { token: new URL(url).searchParams.get('token') ?? '' });
  }

  async get(path: string, headers: Fields = {}): Promise<HttpAnswer> {
    const own = this.cookie === '' ? {} : { cookie: this.cookie };
    const answer = await exchange({ port: this.port, path, headers: { 'sec-fetch-user': '?1', ...own, ...headers } });
    return this.#keep(answer);
  }

  async post(path: string, fields: Fields, headers: Fields = {}): Promise<HttpAnswer> {
    const own = this.cookie === '' ? {} : { cookie: this.cookie };
    const form = { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' };
    const body = Buffer.from(new URLSearchParams(fields).toString());
    return this.#keep(
      await exchange({ port: this.port, method: 'POST', path, headers: { ...form, ...own, ...headers }, body }),
    );
  }

  /** The token in the forms of a page. */
  async csrf(path = '/certificate'): Promise<string> {
    const { body } = await this.get(path);
    return /name="csrf" value="([0-9a-f]{64})"/.exec(body.toString())?.[1] ?? '';
  }

  #keep(answer: HttpAnswer): HttpAnswer {
    for (const one of answer.headers['set-cookie'] ?? []) this.cookie = one.split(';')[0] ?? '';
    return answer;
  }
}
