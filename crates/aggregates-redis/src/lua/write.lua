-- WRITE: puts what was worked out from some rows where it belongs, if nobody else has counted rows
-- of these source partitions meanwhile. All values are absolute.
--
-- KEYS  1 the tenant's pointer, 2 the places of the generation, then hashes and leaderboards
-- ARGV  1 the generation that must be in use ('' = it is still being made), 2 how many partitions,
--       for each of them: its number, the place it must be at ('' = none), the place to go to;
--       then for each of the other keys: 'h', how many texts, and fields with their values; or 't',
--       how many members go, those members, how many come, and scores with their members
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'MOVED' end

local at = 3
local places = {}
for _ = 1, tonumber(ARGV[2]) do
  local partition, from, to = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if (redis.call('HGET', KEYS[2], partition) or '') ~= from then return 'MOVED' end
  places[#places + 1], places[#places + 2] = partition, to
  at = at + 3
end

-- First what Redis refuses when it is full: then nothing at all is written.
redis.call('HSET', KEYS[2], unpack(places))

-- The next texts of ARGV, and the place behind them.
local function take(count)
  local taken = {}
  for i = at, at + count - 1 do taken[#taken + 1] = ARGV[i] end
  at = at + count
  return taken
end

for key = 3, #KEYS do
  local kind, count = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  local texts = take(count)
  if kind == 'h' then
    redis.call('HSET', KEYS[key], unpack(texts))
  else
    if count > 0 then redis.call('ZREM', KEYS[key], unpack(texts)) end
    local coming = tonumber(ARGV[at])
    at = at + 1
    redis.call('ZADD', KEYS[key], unpack(take(coming)))
  end
end
return 'DONE'
