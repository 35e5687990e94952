--[[
Makes a CRL current: compare-and-swap on the number of the one before, and on the claim. That the number grows is for the caller
to see to.

ARGV: instance, number of the current CRL as the caller knows it (empty: none), the caller's claim token (empty: it never had
one), number, record (JSON), DER, feed length, feed payload.
Returns 'done', 'forgot', or 'differ': somebody else has published, or claimed, meanwhile.
]]
if instance() ~= ARGV[1] then return 'forgot' end
if (redis.call('HGET', base .. 'crl', 'number') or '') ~= ARGV[2] then return 'differ' end
local lease = read_lease('crl')
if ARGV[3] ~= '' then
  if not lease or lease.token ~= ARGV[3] then return 'differ' end
elseif lease and lease.expiry > server_ms() then
  return 'differ'
end
redis.call('HSET', base .. 'crl', 'number', ARGV[4], 'record', ARGV[5], 'der', ARGV[6])
redis.call('LPUSH', base .. 'crls', ARGV[5])
tell(ARGV[7], 0, ARGV[8])
return 'done'
