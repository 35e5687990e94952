--[[
The claim to build an issuer's next CRL: a lease with a fencing token (publish-crl.lua asks for it).

ARGV: instance, lease in ms, holder, the caller's token (empty: none).
Returns the token, the caller's own when it still has the claim; an empty string while somebody else has it.
]]
if instance() ~= ARGV[1] then return 'forgot' end
local lease, now = read_lease('crl'), server_ms()
local token = ARGV[4]
if lease and lease.token ~= token then
  if lease.expiry > now then return '' end
  token = ''
end
if not lease or token == '' then token = new_token() end
write_lease('crl', now + tonumber(ARGV[2]), token, '0', ARGV[3])
return token
