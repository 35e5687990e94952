/**
 * A thread of the host that only waits for the end of the signer's process. The main thread would hear of it too, by the end of
 * the IPC channel, unless it is stuck in a module that hangs: then the process would stay, with its login, for as long as that.
 */
import { readSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

const { fd } = workerData as { readonly fd: number };
// Nothing is ever written into it: its end is the news.
readSync(fd, Buffer.alloc(1), 0, 1, null);
process.kill(process.pid, 'SIGKILL');
