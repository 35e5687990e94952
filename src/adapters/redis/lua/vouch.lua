--[[
Says that everything in a journal is in this instance of the ledger. Compared and written at once: a server that was emptied,
restarted or replaced since the journal was replayed is not vouched for.

ARGV: instance that the journal was replayed into, name, the last record of the journal that touched this issuer.
Returns 1, or 0 when this is another instance or lacks that record.
]]
if instance() ~= ARGV[1] then return 0 end
if tonumber(redis.call('HGET', base .. 'applied', ARGV[2]) or '0') < tonumber(ARGV[3]) then return 0 end
redis.call('HSET', base .. 'trust', ARGV[2], reign())
return 1
