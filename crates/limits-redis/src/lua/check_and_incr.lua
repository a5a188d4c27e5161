-- CHECK_AND_INCR: reserves the incentives of one tenant, at most a hundred, for which the limits
-- have room, and returns the places of those for which they have none.
--
-- ARGV  11 the tenant's use of the day before the batch, 12 its cap, 13 the tenant's use over the
--       window of its total, 14 its cap, 15 a user's cap of the day, 16 a user's cap of the total
--       (-1 = no cap); then for each user of KEYS the use of the day and of the total before the
--       batch; then for each incentive its id and the place of its user, from 1
--
-- Uses are the committed one and what is pending on it. What is pending is a hash: by incentive
-- who reserved it (`partition:epoch:batch:key`), by key how many wait there.
if is_past then return {'PAST'} end
-- Its incentives are counted: they are committed.
if batch <= stored_batch then return {'SETTLED'} end

local HEAD, users = 16, #KEYS - 3
local first = HEAD + 2 * users + 1
local incentives = (#ARGV - first + 1) / 2

local asked = {}
for i = 1, incentives do asked[i] = ARGV[first + 2 * (i - 1)] end
for i = 3, #KEYS do asked[#asked + 1] = KEYS[i] end
local pending = call('HMGET', KEYS[2], unpack(asked))

-- By place in KEYS: the committed use, and how many wait.
local use, waiting = {}, {}
for i = 3, #KEYS do
  local given = i == 3 and ARGV[11] or ARGV[HEAD + 2 * (i - 3) - 1]
  waiting[i] = tonumber(pending[incentives + i - 2]) or 0
  local found = not is_latest and tonumber(call('GET', KEYS[i])) or nil
  use[i] = committed(KEYS[i], tonumber(given), found, waiting[i])
end

local tenant_total = tonumber(ARGV[13])
local tenant_day_cap, tenant_total_cap = tonumber(ARGV[12]), tonumber(ARGV[14])
local user_day_cap, user_total_cap = tonumber(ARGV[15]), tonumber(ARGV[16])
local function has_room(before, wait, cap)
  return cap < 0 or before + wait + 1 <= cap
end

local mine = partition .. ':' .. ARGV[2] .. ':' .. ARGV[10] .. ':'
local writes, refused, touched = {}, {'DONE'}, {}
for i = 1, incentives do
  local at = 3 + tonumber(ARGV[first + 2 * i - 1])
  local entry = mine .. KEYS[at]
  local is_counted = pending[i]
  local has = is_counted
    or has_room(use[3], waiting[3], tenant_day_cap)
    and has_room(tenant_total, waiting[3], tenant_total_cap)
    and has_room(use[at], waiting[at], user_day_cap)
    and has_room(tonumber(ARGV[HEAD + 2 * (at - 3)]), waiting[at], user_total_cap)
  if not has then
    refused[#refused + 1] = i
  elseif is_counted ~= entry then
    writes[#writes + 1], writes[#writes + 2] = asked[i], entry
    if not is_counted then
      waiting[3], waiting[at] = waiting[3] + 1, waiting[at] + 1
      touched[3], touched[at] = true, true
    end
  end
end
for i in pairs(touched) do
  writes[#writes + 1], writes[#writes + 2] = KEYS[i], waiting[i]
end

-- First what Redis refuses when it is full: then nothing at all is written.
if #writes > 0 then
  call('HSET', KEYS[2], unpack(writes))
  call('PEXPIREAT', KEYS[2], expires_at)
end
for i = 3, #KEYS do remember(KEYS[i], use[i] + waiting[i]) end
note(stored_batch)
return refused
