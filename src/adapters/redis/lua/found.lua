--[[
Founds the issuer's ledger where there is none: draws its epoch and fixes how many buckets it has. Where there is one nothing
changes, so any number of processes may call it at any time.

What an earlier ledger has left behind is not believed: a server may lose a part of its keys when it starts (an append-only file
that it reads in part). Without a founded ledger nothing is applied and nobody has vouched, so every journal is replayed whole (P1).

ARGV: epoch to take, number of buckets (a power of two), layout version.
]]
if redis.call('HSETNX', meta, 'epoch', ARGV[1]) == 1 then
  redis.call('HSET', meta, 'buckets', ARGV[2], 'layout', ARGV[3])
  for _, left in ipairs({ 'applied', 'trust' }) do
    for _, intake in ipairs(redis.call('HKEYS', base .. left)) do redis.call('HDEL', base .. left, intake) end
  end
end
return 1
