--[[
Reserves a CRL number: compare-and-swap, because numbers of 20 octets are no numbers to Lua.

ARGV: instance, shard, the last number reserved as the caller knows it (empty: none), the next.
Returns {'done'}, {'forgot'}, or {'differ', the last number reserved}.
]]
if instance() ~= ARGV[1] then return { 'forgot' } end
local last = redis.call('HGET', base .. 'numbers', ARGV[2]) or ''
if last ~= ARGV[3] then return { 'differ', last } end
redis.call('HSET', base .. 'numbers', ARGV[2], ARGV[4])
return { 'done' }
