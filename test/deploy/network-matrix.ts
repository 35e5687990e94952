/**
 * Who may connect to whom, computed from NetworkPolicies as Kubernetes defines them: a connection is let through when the policies that
 * select its source for Egress have a rule for it, or none selects it, and likewise those that select its target for Ingress.
 */
import { BlockList, isIPv6 } from 'node:net';
import type { LabelSelector } from 'kubernetes-types/meta/v1.d.ts';
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from 'kubernetes-types/networking/v1.d.ts';

/** A pod by its labels, or an address outside of the cluster. */
export type Party =
  | { readonly name: string; readonly namespace: string; readonly labels: Readonly<Record<string, string>> }
  | { readonly name: string; readonly address: string };

export interface Port {
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
}

export function allowed(policies: readonly NetworkPolicy[], from: Party, to: Party, port: Port): boolean {
  return passes(policies, 'Egress', from, to, port) && passes(policies, 'Ingress', to, from, port);
}

function passes(
  policies: readonly NetworkPolicy[],
  type: 'Ingress' | 'Egress',
  selected: Party,
  peer: Party,
  port: Port,
): boolean {
  if ('address' in selected) return true;
  const of = policies.filter(
    ({ metadata, spec }) =>
      metadata?.namespace === selected.namespace &&
      matches(spec?.podSelector, selected.labels) &&
      (spec?.policyTypes ?? ['Ingress']).includes(type),
  );
  if (of.length === 0) return true;
  return of.some(({ metadata, spec }) =>
    (type === 'Ingress' ? (spec?.ingress ?? []) : (spec?.egress ?? [])).some((rule) => {
      const peers = 'from' in rule ? rule.from : 'to' in rule ? rule.to : undefined;
      return hasPort(rule.ports, port) && hasPeer(peers, peer, metadata?.namespace ?? '');
    }),
  );
}

function hasPort(ports: readonly NetworkPolicyPort[] | undefined, { port, protocol }: Port): boolean {
  return ports === undefined || ports.some((one) => (one.protocol ?? 'TCP') === protocol && (one.port === undefined || one.port === port)); // prettier-ignore
}

/** No list at all is everybody; an empty one is everybody too. */
function hasPeer(peers: readonly NetworkPolicyPeer[] | undefined, party: Party, ownNamespace: string): boolean {
  if (peers === undefined || peers.length === 0) return true;
  return peers.some(({ ipBlock, namespaceSelector, podSelector }) => {
    if (ipBlock !== undefined) return 'address' in party && inBlock(party.address, ipBlock.cidr) && !(ipBlock.except ?? []).some((cidr) => inBlock(party.address, cidr)); // prettier-ignore
    if ('address' in party) return false;
    const inNamespace =
      namespaceSelector === undefined
        ? party.namespace === ownNamespace
        : matches(namespaceSelector, { 'kubernetes.io/metadata.name': party.namespace });
    return inNamespace && matches(podSelector, party.labels);
  });
}

function inBlock(address: string, cidr: string): boolean {
  const [net = '', bits = ''] = cidr.split('/');
  const family = isIPv6(net) ? 'ipv6' : 'ipv4';
  if (isIPv6(address) !== (family === 'ipv6')) return false;
  const list = new BlockList();
  list.addSubnet(net, Number(bits), family);
  return list.check(address, family);
}

function matches(selector: LabelSelector | undefined, labels: Readonly<Record<string, string>>): boolean {
  if (selector?.matchExpressions !== undefined) throw new Error('matchExpressions are not read here');
  return Object.entries(selector?.matchLabels ?? {}).every(([name, value]) => labels[name] === value);
}
