/** Lessons: setting up and running. */
import type { Lessons } from './lesson.ts';

const STANDS_STILL = 'the service of this directory runs already';

export const RUN_LESSONS: Lessons = {
  serve: {
    about:
      'Runs the service: intake, signer, responder and monitor in one process, or the roles that are named. It stops cleanly on Ctrl-C or SIGTERM: what has arrived is finished first.',
    when: 'Use it from systemd or a container, and by hand with --demo to try things out.',
    examples: [
      { run: 'certstatus serve --demo', does: 'makes a demo CA in ./data, if nothing is there, and serves it', apart: STANDS_STILL }, // prettier-ignore
      { run: 'certstatus --config /etc/certstatus/signer-1.yaml serve --roles signer', does: 'one role of many processes over a Redis', apart: 'needs a Redis' }, // prettier-ignore
    ],
    prints: 'its log on standard error, one JSON object per line; with --demo also commands to paste',
    exits: '0 stopped by a signal, 1 could not start or lost what it needs, 2 wrong usage',
    more: 'deploy/README.md',
  },
  init: {
    about:
      'Makes a data directory: a commented certstatus.yaml, and TLS certificates for the intake and its first client. What is there already is never changed.',
    when: 'Use it once for each installation, before issuer add.',
    examples: [
      { run: 'certstatus --data elsewhere init', does: 'an empty installation' },
      { run: 'certstatus --data trial init --demo', does: 'one with a demo CA and three certificates' },
    ],
    prints: 'the file that was made, and the command that comes next',
    more: 'deploy/certstatus.example.yaml',
  },
  'issuer add': {
    about:
      'Registers a CA: its certificate, its responder certificates and keys, its URLs and the preset with the rules of its documents. Everything is checked first; nothing is written when anything is wrong.',
    when: 'Use it for each CA that is to be served; a running service takes it in at its next start.',
    examples: [
      {
        run: 'certstatus --data elsewhere issuer add copy --ca data/issuers/demo/ca.pem --crl-key data/issuers/demo/ca.key --responder-cert data/issuers/demo/responder.pem --responder-key data/issuers/demo/responder.key --ocsp-path /ocsp --crl-path /copy.crl --ca-path /copy.crt',
        does: 'the files of the demo CA, once more, under another name',
      },
    ],
    prints: 'what was registered: hashes, certificates, URLs, timing, and what is unwise',
    more: 'certstatus check-config, deploy/presets/',
  },
  'issuer list': {
    about: 'Lists the CAs that are configured. It reads the files alone and asks no service.',
    when: 'Use it to find the id that --issuer wants elsewhere.',
    examples: [{ run: 'certstatus issuer list' }],
    prints: 'id, tag (its name in the archive), preset and subject of each',
  },
  'issuer show': {
    about: 'Shows one CA as it is configured: hashes of its CertID, certificates, responder certificates, URLs and timing. It reads the files alone and asks no service.', // prettier-ignore
    when: 'Use it to compare with the certificates of the CA, and to find the id of a responder certificate.',
    examples: [{ run: 'certstatus issuer show demo' }],
    prints: 'one line per fact; durations in d, h, min, s',
  },
  'check-config': {
    about:
      'Checks configuration, issuers, certificates, keys and timing against the documents of the CA, and CRL URLs against what was published. It changes nothing and needs no service.',
    when: 'Use it before every start and after every change of a file.',
    examples: [{ run: 'certstatus check-config' }],
    prints: 'each finding with its rule; "no finding" when there is none',
    exits: '0 nothing is refused (there may be warnings), 1 something is refused, 2 wrong usage',
    more: 'deploy/certstatus.example.yaml',
  },
  completion: {
    about:
      'Prints a script that completes commands, options, files and the ids of issuers when Tab is pressed. Nothing is asked of a service then: the script holds all but the issuers, which it finds in the data directory.',
    when: 'Use it once for each shell, and again after an upgrade.',
    examples: [
      { run: 'certstatus completion bash > certstatus.bash', does: 'then: source certstatus.bash, e.g. in ~/.bashrc' },
      { run: 'certstatus completion zsh > certstatus.zsh' },
      { run: 'certstatus completion fish > certstatus.fish', does: 'goes to ~/.config/fish/completions/certstatus.fish' }, // prettier-ignore
    ],
    prints: 'the script',
  },
  size: {
    about:
      'Says what a CA of a given size needs: signatures a second, HSM sessions, memory of Redis, disks, processes of responders. It computes from measured figures, opens nothing and asks nobody.',
    when: 'Use it before you buy, and before a CA grows.',
    examples: [{ run: 'certstatus size --certificates 5e7 --answers 20000' }],
    prints: 'one line per need; what was measured and what is extrapolated stands in the guide',
    more: 'deploy/guide/sizing.md',
  },
};
