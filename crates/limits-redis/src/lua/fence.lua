-- What CHECK_AND_INCR and SETTLE begin with: who calls, and whether Redis still holds what the
-- caller last saw there.
--
-- KEYS  1 the tenant's state, 2 what is pending on the day, 3 the tenant's use of the day,
--       4 and on: users' uses of the day
-- ARGV  1 partition, 2 epoch, 3 generation, 4 sequence of this call, 5 sequence last acknowledged,
--       6 version of the tenant's lane that the uses belong to, 7 day, 8 its first millisecond,
--       9 when its keys expire, 10 batch

-- Globals are looked up by name each time.
local KEYS, ARGV, call, tonumber = KEYS, ARGV, redis.call, tonumber
local partition, epoch, sequence = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local lane, day = tonumber(ARGV[6]), tonumber(ARGV[7])
local starts_at, expires_at = tonumber(ARGV[8]), ARGV[9]
local batch = tonumber(ARGV[10])

local stored = call('HMGET', KEYS[1], 'generation', 'lane', 'day',
  'epoch:' .. partition, 'sequence:' .. partition, 'batch:' .. partition)
local stored_lane, stored_day = tonumber(stored[2]) or 0, tonumber(stored[3]) or day
local stored_epoch, stored_sequence = tonumber(stored[4]) or 0, tonumber(stored[5]) or 0
local stored_batch = tonumber(stored[6]) or 0

if stored_epoch > epoch then return {'FENCED'} end -- fence
if not stored[1] then return {'UNKNOWN'} end
if stored[1] ~= ARGV[3] then return {'OTHER'} end
-- Fewer calls than were acknowledged: it came back from an old copy.
if stored_epoch < epoch or stored_sequence < tonumber(ARGV[5]) then return {'STALE'} end -- fence
-- A call that was overtaken, from a connection given up.
if sequence <= stored_sequence then return {'LATE'} end -- fence

-- Nobody has told of a later commit, so the uses that come along are the latest.
local is_latest = lane >= stored_lane
-- Two days are open for a moment only; the keys are those of the later one.
local is_past = day < stored_day

-- The committed use behind a key: what came along, or what another partition knows better. Within
-- a day it only rises. `found` is the key's value, nil if it has none.
local function committed(key, given, found, waiting)
  if is_latest and given then return given end
  if not found or call('PEXPIRETIME', key) <= starts_at then return given end
  if not given then return found - waiting end
  return math.max(given, found - waiting)
end

local function remember(key, use)
  call('SET', key, use, 'PXAT', expires_at)
end

-- The state outlives its day: a fence that is gone keeps nobody out.
local DAY_MS = 86400000
local function note(batch_settled)
  call('HSET', KEYS[1], 'lane', math.max(lane, stored_lane),
    'day', math.max(day, stored_day), 'epoch:' .. partition, ARGV[2],
    'sequence:' .. partition, ARGV[4], 'batch:' .. partition, batch_settled)
  call('PEXPIREAT', KEYS[1], tonumber(expires_at) + DAY_MS)
end
