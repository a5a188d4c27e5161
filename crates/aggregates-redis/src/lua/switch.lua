-- SWITCH: puts a new generation into use, if it has all that the one in use has counted.
--
-- KEYS  1 the tenant's pointer, 2 who makes a generation, 3 the new one's places, 4 those of the one
--       in use (the new one's again where there is none)
-- ARGV  1 the generation in use as the caller knows it ('' = none), 2 the new one,
--       3 '1' when the ledger has nothing more: then it is right, whatever was counted
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'LOST' end
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 'MOVED' end

local function numbers(place)
  local batch, ordinal = string.match(place or '0:-1', '^(%-?%d+):(%-?%d+)$')
  return tonumber(batch), tonumber(ordinal)
end

if ARGV[3] ~= '1' then
  local used = redis.call('HGETALL', KEYS[4])
  for i = 1, #used, 2 do
    local batch, ordinal = numbers(redis.call('HGET', KEYS[3], used[i]) or nil)
    local used_batch, used_ordinal = numbers(used[i + 1])
    if batch < used_batch or batch == used_batch and ordinal < used_ordinal then
      return 'BEHIND'
    end
  end
end
redis.call('SET', KEYS[1], ARGV[2])
return 'DONE'
