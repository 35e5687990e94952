--[[
Founds the issuer's ledger where there is none: draws its epoch and fixes how many buckets it has. Where there is one nothing
changes, so any number of processes may call it at any time.

ARGV: epoch to take, number of buckets (a power of two), layout version.
]]
if redis.call('HSETNX', meta, 'epoch', ARGV[1]) == 1 then
  redis.call('HSET', meta, 'buckets', ARGV[2], 'layout', ARGV[3])
end
return 1
