/**
 * Plays the commands of a scene in one shell, as written: the ports of the documentation are free and `/srv` is empty, because it has a
 * network and a mount table of its own. `npm run X` does what package.json says, without building again.
 */
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from '../support/service.ts';
import type { Scene } from './page.ts';
import { SCENES } from './scenes.ts';

const REPOSITORY = join(import.meta.dirname, '..', '..', '..');
const LIMIT_S = 280;

/** Why scenes cannot be played here; undefined where they can. */
export const cannotPlay: string | undefined = await (async () => {
  const { code } = await runProgram('unshare', ['-rnm', 'ip', 'link', 'set', 'lo', 'up']).done;
  return code === 0 ? undefined : 'network namespaces are not permitted here (unshare -rnm)';
})();

/** @returns everything that was printed, when each block ended as it should. @throws Error naming the block, with the output. */
export async function play(page: string, scene: Scene): Promise<string> {
  const prepare = SCENES[scene.name];
  if (prepare === undefined) throw new Error(`${page}: there is no scene ${scene.name}: see scenes.ts`);
  const stage = mkdtempSync(join(tmpdir(), 'certstatus-docs-'));
  const clone = join(stage, 'certstatus');
  try {
    mkdirSync(clone);
    for (const name of readdirSync(REPOSITORY))
      if (!/^(\.git|data.*)$/.test(name)) symlinkSync(join(REPOSITORY, name), join(clone, name));
    shims(join(stage, 'bin'));
    prepare.files?.(clone);
    writeFileSync(join(stage, 'play.sh'), script(page, stage, scene, prepare.before ?? ''));
    return await run(page, scene, join(stage, 'play.sh'));
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

/** `npm` and `npx` as they are in a built checkout, and `certstatus` as it is where the package is installed. */
function shims(bin: string): void {
  mkdirSync(bin);
  const shim = (name: string, text: string): void => {
    writeFileSync(join(bin, name), `#!/usr/bin/env bash\n${text}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  shim('certstatus', `exec node "${join(REPOSITORY, 'dist', 'src', 'apps', 'cli.js')}" "$@"`);
  shim('npx', `[ "$1" = certstatus ] || { echo "npx $1 is not played" >&2; exit 2; }; shift; exec certstatus "$@"`);
  shim(
    'npm',
    `case "$1" in
  ci) exit 0 ;;
  start) name=start; shift ;;
  run) name=$2; shift 2 ;;
  *) echo "npm $1 is not played" >&2; exit 2 ;;
esac
[ "\${1:-}" = -- ] && shift
command=$(node -p 'require(process.argv[1]).scripts[process.argv[2]]' "${join(REPOSITORY, 'package.json')}" "$name")
eval "exec \${command#npm run --silent build && } \\"\\$@\\""`,
  );
}

function script(page: string, stage: string, { blocks }: Scene, before: string): string {
  const parts = blocks.map(({ line, commands, until, exits }) => {
    const says = `echo "@@ ${page}:${line}"`;
    if (until?.startsWith('http') === true) return `${says}\n{ ${commands}\n} &\nuntil_answers '${until}'`;
    if (until !== undefined) return `${says}\n{ ${commands}\n} >said.log 2>&1 &\nuntil_said '${until}' said.log`;
    if (exits !== 0)
      return `${says}\nset +e\n${commands}\nended=$?\nset -e\n[ $ended -eq ${exits} ] || { echo "exit $ended, not ${exits}"; exit 1; }`;
    return `${says}\n${commands}`;
  });
  return `set -eo pipefail
ip link set lo up
mount -t tmpfs tmpfs /srv
export PATH="${join(stage, 'bin')}:$PATH" HOME="${stage}"
cd "${join(stage, 'certstatus')}"
until_answers() {
  for _ in $(seq 600); do curl -sfk -o /dev/null "$1" && return; sleep 0.1; done
  echo "$1 does not answer"; return 1
}
until_said() {
  for _ in $(seq 1200); do grep -qF "$1" "$2" && return; sleep 0.1; done
  echo "$1 was not said"; cat "$2"; return 1
}
end() { ended=$?; trap - EXIT; jobs -p | xargs -r kill 2>/dev/null || true; wait; exit $ended; }
trap end EXIT
${before}
${parts.join('\n')}
`;
}

function run(page: string, scene: Scene, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    // A process namespace too: when its first process ends, the kernel ends whatever a command has left behind.
    const child = spawn('unshare', ['-rnmpf', '--mount-proc', 'timeout', '-k', '10', String(LIMIT_S), 'bash', path], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) return resolve(output);
      const at = [...output.matchAll(/^@@ (.*)$/gm)].at(-1)?.[1] ?? `${page}, scene ${scene.name}`;
      reject(new Error(`${at}: exit ${code}\n${output.slice(-4000)}`));
    });
  });
}
