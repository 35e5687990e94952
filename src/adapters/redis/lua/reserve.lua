--[[
Reserves a CRL number: compare-and-swap, because numbers of 20 octets are no numbers to Lua.

ARGV: instance, the last number reserved as the caller knows it (empty: none), the next.
Returns {'done'}, {'forgot'}, or {'differ', the last number reserved}.
]]
if instance() ~= ARGV[1] then return { 'forgot' } end
local last = redis.call('HGET', meta, 'number') or ''
if last ~= ARGV[2] then return { 'differ', last } end
redis.call('HSET', meta, 'number', ARGV[3])
return { 'done' }
