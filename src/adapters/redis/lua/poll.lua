--[[
What a process must know of an issuer again and again: read-only, one script, so that it is all of one instant and cheap enough
for twenty times a second.

ARGV: name of the asking process's journal; the feed entry after which to read; how many entries at most (0: none).
Returns { reign, epoch, buckets, layout, seq, feed, applied, server ms, newest beat, {name, reign, …} of trust, entries };
a missing value is an empty string, entries are as XRANGE returns them.
]]
local journal, after, limit = ARGV[1], ARGV[2], ARGV[3]
local found = redis.call('HMGET', meta, 'epoch', 'buckets', 'layout', 'seq', 'feed')
local newest = ''
for _, beat in ipairs(redis.call('HVALS', base .. 'beat')) do
  if newest == '' or tonumber(beat) > tonumber(newest) then newest = beat end
end
local entries = {}
if limit ~= '0' then
  entries = redis.call('XRANGE', base .. 'feed', '(' .. after .. '-0', '+', 'COUNT', limit)
end
return {
  reign(), found[1] or '', found[2] or '', found[3] or '', found[4] or '', found[5] or '',
  redis.call('HGET', base .. 'applied', journal) or '',
  string.format('%.0f', server_ms()), newest, redis.call('HGETALL', base .. 'trust'), entries,
}
