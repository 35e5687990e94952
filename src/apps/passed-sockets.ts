/**
 * Listening sockets that the service manager opened before this process began, and keeps open after it has ended: clients wait in
 * their queue while the program is started anew, and none is refused (sd_listen_fds(3), deploy/systemd/certstatus@.socket).
 */
import { Problem } from '../core/problem.ts';

/** The first descriptor that may be one. */
const FIRST = 3;

/**
 * The descriptor of the public port, or undefined when none was passed to this process.
 * @throws Problem `config` for a socket that nothing here can listen on: clients would wait in its queue for ever.
 */
export function passedPublicSocket(env: Readonly<Record<string, string | undefined>>, pid: number): number | undefined {
  // Variables of a process further up, which go on to its children, mean nothing here.
  if (env['LISTEN_PID'] !== String(pid)) return undefined;
  const count = Number(env['LISTEN_FDS'] ?? 0);
  const names = env['LISTEN_FDNAMES']?.split(':') ?? [];
  const passed = Array.from({ length: count }, (_, i) => ({ name: names[i] ?? 'unknown', descriptor: FIRST + i }));
  for (const { name } of passed) if (name !== 'public') throw refusal(name);
  if (passed.length > 1) {
    throw new Problem('config', 'one public socket only; for IPv4 and IPv6: ListenStream=[::]:80, BindIPv6Only=both', {
      field: 'LISTEN_FDS',
      value: String(count),
    });
  }
  return passed[0]?.descriptor;
}

function refusal(name: string): Problem {
  const why =
    name === 'origin'
      ? 'uWebSockets.js cannot take a socket that is open already: take origin out of the socket unit; its clients try again'
      : 'only the public port can be passed: FileDescriptorName=public in the socket unit';
  return new Problem('config', why, { field: 'LISTEN_FDNAMES', value: name });
}
