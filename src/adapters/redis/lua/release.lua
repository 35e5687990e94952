--[[
Gives up the claim to build an issuer's next CRL, if the caller still has it. ARGV: the caller's token.
]]
if holds('crl', ARGV[1]) then redis.call('HDEL', base .. 'leases', 'crl') end
return 1
