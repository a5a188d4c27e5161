-- MEET: a partition's owner makes itself known for a tenant: from now on older epochs are kept out.
-- Where there is no state, or an old copy of one, it gives it a generation of its own.
--
-- KEYS  1 the tenant's state
-- ARGV  1 partition, 2 epoch, 3 a generation that nobody has used, 4 sequence of this call,
--       5 '1' when what is there is known to be an old copy, 6 when it expires
local partition, epoch = ARGV[1], tonumber(ARGV[2])
local stored = redis.call('HMGET', KEYS[1], 'generation', 'epoch:' .. partition,
  'sequence:' .. partition)
local stored_epoch, stored_sequence = tonumber(stored[2]) or 0, tonumber(stored[3]) or 0
if stored_epoch > epoch then return {'FENCED'} end -- fence
if stored_epoch == epoch and stored_sequence >= tonumber(ARGV[4]) then return {'LATE'} end -- fence

local generation = stored[1]
if not generation or ARGV[5] == '1' then
  generation = ARGV[3]
  -- What an old copy says of the lane keeps no newer use out.
  redis.call('HSET', KEYS[1], 'generation', generation, 'lane', 0)
end
if stored_epoch < epoch then redis.call('HDEL', KEYS[1], 'batch:' .. partition) end
redis.call('HSET', KEYS[1], 'epoch:' .. partition, ARGV[2], 'sequence:' .. partition, ARGV[4])
redis.call('PEXPIREAT', KEYS[1], ARGV[6])
return {'DONE', generation}
